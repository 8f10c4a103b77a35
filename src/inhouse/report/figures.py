"""How a figure is written: in a sentence (a word with its unit) and in a table (number, unit, interval).

A figure's unit is the suffix of its name (`ttft_p95_s`, `memory_bytes`) or its metric's `unit`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

from inhouse.core.records import Evidence, Metric, Scalar
from inhouse.plan.assumptions import stem_of
from inhouse.report.language import number, word
from inhouse.report.money import won_in_words

# The suffix that names a unit; the longest first, since `bytes_s` also ends in `s`.
_SUFFIXES = {
    "tokens_s": "tokens/s",
    "requests_s": "requests/s",
    "bytes_s": "bytes/s",
    "percent": "percent",
    "won": "won",
    "ratio": "ratio",
    "bytes": "bytes",
    "year": "year",
    "s": "s",
}
_ALIASES = {"B": "bytes", "B/s": "bytes/s", "%": "percent", "seconds": "s", "x": "ratio", "count": "", "1": ""}
_NO_BREAK = "\u00a0"  # a number and its unit stay on one line
# Shares of tries, answers or questions, from 0 to 1.
_SHARES = frozenset(
    {
        *("accuracy", "attack_success", "answer_holds", "faithfulness", "cited", "refusal", "false_refusal"),
        *("recall_1", "recall_3", "recall_5", "answer_exact"),
        *("followed", "right", "honesty", "in_korean", "acceptable"),
    }
)
# Figures whose texts have their words under another name.
_SAID_AS = {
    "second": "assumption",
    **dict.fromkeys(("best_wording", "worst_wording", "variant", "best", "worst"), "wording"),
}
_COUNTED = ("", "tokens", "requests", "B")


def unit_of(name: str) -> str:
    """The unit that a figure's name ends in; empty for a plain count or a text."""
    return next((unit for suffix, unit in _SUFFIXES.items() if name == suffix or name.endswith(f"_{suffix}")), "")


def in_words(name: str, value: Scalar, lang: str) -> str:
    """A figure as a sentence says it: 350 ms, 2 min 5 s, 초당 52.1토큰, 4.2배.

    A text is said as the catalogue has it under `<name>.<value>` (an error's kind, a part's name), or as it is.
    """
    if isinstance(value, (str, bool)):
        of = _SAID_AS.get(name, name)
        return word(lang, f"{of}.{value}", assumption_name(str(value), lang) if of == "assumption" else str(value))
    if value is None or not math.isfinite(value):
        return "–"
    unit = unit_of(name)
    if unit == "s" and round(value) >= 60:
        return _long_duration(value, lang)
    if unit == "won":
        return won_in_words(value, lang)
    if unit == "year":
        return f"{value:.0f}"
    factor, sign = scale(value, unit)
    said = word(lang, f"unit.{sign}.words", "{value}").replace("{value}", number(value * factor, lang))
    return said.replace(" ", _NO_BREAK)


def assumption_name(key: str, lang: str) -> str:
    """What an assumption is called, with the way, the thing or the country that it is of: operators (own machines)."""
    stem, of = stem_of(key)
    name = word(lang, f"assumption.{stem}", key)
    return f"{name} ({word(lang, f'way.{of}', word(lang, f'country.{of}', of))})" if of else name


@dataclass(frozen=True, slots=True)
class Quantity:
    """A figure for a table. `interval` is the 95 % one in the same unit, empty where there is none."""

    number: str
    unit: str
    interval: str
    predicted: bool
    method: str
    n: int | None

    @property
    def text(self) -> str:
        """Number and unit; a unit in Hangul and the percent sign stand close."""
        close = not self.unit or self.unit[0] == "%" or "가" <= self.unit[0] <= "힣"
        return f"{self.number}{'' if close else _NO_BREAK}{self.unit}"


def quantity(metric: Metric, lang: str, *, largest: float | None = None) -> Quantity:
    """A metric as a table shows it; value and interval are in one unit, chosen by the value.

    `largest` is the largest value of a column whose cells are to share a unit.
    """
    factor, sign = scale(metric.value if largest is None else largest, measured_in(metric))
    write = "{:.0f}".format if sign == "year" else partial(number, lang=lang, aligned=sign not in _COUNTED)
    interval = ""
    if metric.low is not None and metric.high is not None:
        interval = f"{write(metric.low * factor)}–{write(metric.high * factor)}"
    return Quantity(
        number=write(metric.value * factor),
        unit="" if sign == "year" else unit_word(sign, lang),
        interval=interval,
        predicted=metric.predicted,
        method=metric.method,
        n=metric.n,
    )


def scale(largest: float, unit: str) -> tuple[float, str]:
    """The factor, and the sign of the unit it leads to, in which values up to `largest` read best."""
    size, unit = abs(largest), _ALIASES.get(unit, unit)
    if unit == "s":
        return (1000.0, "ms") if 0 < size < 0.9995 else (1.0, "s")
    if unit == "share":
        return 100.0, "percent"
    if unit in ("bytes", "bytes/s"):
        rest = unit.removeprefix("bytes")
        for power, sign in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
            if size >= power * 0.9995:
                return 1 / power, sign + rest
        return 1.0, "B" + rest
    return 1.0, unit


def measured_in(metric: Metric) -> str:
    """The unit that a metric's name ends in, which says more than its own: tokens_s is tokens/s, not just 1/s."""
    if metric.name.endswith(("_share", "error_rate")) or metric.name in _SHARES:
        return "share"
    named = unit_of(metric.name)
    # `requests_year` is so many a year, and not one of the calendar's years.
    return metric.unit if named == "year" else named or metric.unit


def unit_word(sign: str, lang: str) -> str:
    """A unit's sign as that language writes it: s is 초, tokens/s is 토큰/초."""
    return word(lang, f"unit.{sign}", sign)


def name_of(metric: Metric, lang: str, *, with_stat: bool = True) -> str:
    """What a metric is called: its name, its part and its statistic (TTFT p95, cold start load p50)."""
    name = word(lang, f"metric.{metric.name}", metric.name)
    for label in ("part", "stat") if with_stat else ("part",):
        if (value := metric.labels.get(label)) is not None:
            name += f" {word(lang, f'{label}.{value}', str(value))}"
    return name


def identity(item: Evidence) -> object:
    """What tells one figure from another: its run, name and labels."""
    return item.run_id, item.metric.name, tuple(sorted((k, str(v)) for k, v in item.metric.labels.items()))


def method_of(metric: Metric, lang: str) -> str:
    """How a metric came to be; that a prediction is one, every view says apart."""
    how = metric.method.removeprefix("predicted:").strip() if metric.predicted else metric.method
    return word(lang, f"method.{how}", how)


def circumstances(metric: Metric, lang: str) -> str:
    """What a metric is a figure of, from its labels: "8 streams, 256 prompt tokens"; empty where it has none."""
    labels = {name: value for name, value in metric.labels.items() if name not in ("stat", "part")}
    if len(labels) > 1:
        labels.pop("stage", None)  # the other labels say the same, in the reader's language
    return ", ".join(
        word(lang, f"label.{name}.value", f"{name} {{value}}").replace("{value}", in_words(name, value, lang))
        for name, value in labels.items()
        if value is not None
    )


def _long_duration(seconds: float, lang: str) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        whole, part, pattern = minutes, rest, "unit.min_s"
    else:
        whole, part, pattern = minutes // 60, minutes % 60, "unit.h_min"
    text = word(lang, pattern if part else f"{pattern}.whole")
    return text.replace("{whole}", number(whole, lang)).replace("{part}", number(part, lang))
