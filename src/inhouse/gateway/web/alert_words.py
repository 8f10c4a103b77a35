"""An alert in words, for the page and for the webhook. Knows no rule's inside."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from inhouse.gateway.identity import Caller
from inhouse.gateway.traffic.alert_book import Alert
from inhouse.gateway.web.words import count, seconds, word


def alert_text(alert: Alert, lang: str, names: dict[str, str]) -> str:
    """What is wrong with what, or was. `names` are the keys', by id."""
    kind, _, name = alert.subject.partition(":")
    said = names.get(name, name) if kind == "key" else name
    timed = alert.rule in ("latency", "model")
    value, threshold = (
        seconds(figure, lang) if timed else f"{count(figure * 100, lang)}\u00a0%"
        for figure in (alert.value, alert.threshold)
    )
    what = word(lang, f"dash.kind.{kind}") if kind in ("model", "team", "key", "host") else ""
    state = word(lang, "alert.over" if alert.until else "alert.open")
    return f"{state}: " + word(
        lang, f"alert.{alert.rule}", subject=f"{what} {said}".strip(), value=value, threshold=threshold
    )


def sayer(lang: str, callers: Callable[[], Iterable[Caller]]) -> Callable[[Alert], str]:
    """What says alerts in that language, with the names that keys have then."""
    return lambda alert: alert_text(alert, lang, {caller.key_id: caller.name for caller in callers()})
