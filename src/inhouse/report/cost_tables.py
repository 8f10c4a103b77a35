"""The cost comparison as tables of text, for the terminal: bills, unit costs, break-evens, what moves the cost.

Says what was assumed. Computes nothing that plan/comparison.py did not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from inhouse.plan.assumptions import Amount
from inhouse.plan.breakeven import REQUESTS, USERS, BreakEven
from inhouse.plan.comparison import Bill, Comparison
from inhouse.plan.cost import Option, Way
from inhouse.plan.market import library_version
from inhouse.plan.uncertainty import Spread
from inhouse.report.figures import assumption_name
from inhouse.report.language import number, word
from inhouse.report.money import won_in_words

_SWINGS = 8


@dataclass(frozen=True, slots=True)
class TextTable:
    """Rows under their headings, and remarks below."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = field(default=())


def cost_tables(made: Comparison, lang: str, *, assumptions: bool = False) -> list[TextTable]:
    """All tables; `assumptions` adds the list of every amount with its source."""
    tables = [_ways(made, lang), _bills(made, lang), _break_evens(made, lang), _swings(made, lang)]
    if made.solved:
        tables.append(_solved(made, lang))
    if assumptions:
        tables.append(_assumptions(made, lang))
    return tables


def option_name(option: Option, lang: str) -> str:
    """The way and what of it: own machines (l40s)."""
    return f"{word(lang, f'way.{option.way}')} ({option.name})"


def _ways(made: Comparison, lang: str) -> TextTable:
    columns = tuple(
        word(lang, f"cost.column.{name}")
        for name in ("way", "year", "range", "month", "usd", "per_million_tokens", "per_request", "per_user_month")
    )
    rows = tuple(
        (
            option_name(bill.option, lang), won_in_words(bill.total, lang), _range(bill.year, lang),
            won_in_words(bill.total / 12, lang), number(round(bill.usd), lang),
            won_in_words(bill.per_million_tokens.likely, lang), won_in_words(bill.per_request.likely, lang),
            won_in_words(bill.per_user_month.likely, lang),
        )
        for bill in made.bills
    )  # fmt: skip
    used = made.assumptions.used()
    assumed = sum(one.assumed for one in used.values())
    amounts = made.assumptions.amounts
    notes = (
        _filled(
            lang, "cost.note.demand", users=number(amounts["demand.users"].likely, lang),
            requests=number(made.requests, lang), tokens=number(made.tokens, lang),
        ),
        _filled(lang, "cost.note.ranges", draws=number(made.draws, lang)),
        _filled(lang, "cost.note.assumed", assumed=str(assumed), of=str(len(used))),
        _filled(lang, "cost.note.prices", version=library_version(), day=made.at.date().isoformat()),
    )  # fmt: skip
    return TextTable(word(lang, "cost.title.ways"), columns, rows, notes)


def _bills(made: Comparison, lang: str) -> TextTable:
    """Line by line to the won, of each way the cheapest option."""
    shown = list(_cheapest_of_each(made))
    names = list(dict.fromkeys(line for bill in shown for line in bill.lines))
    rows = [(word(lang, f"cost.line.{name}"), *(_won(bill.lines.get(name), lang) for bill in shown)) for name in names]
    rows.append((word(lang, "cost.total"), *(_won(bill.total, lang) for bill in shown)))
    columns = (word(lang, "cost.column.line"), *(option_name(bill.option, lang) for bill in shown))
    return TextTable(word(lang, "cost.title.bills"), columns, tuple(rows))


def _cheapest_of_each(made: Comparison) -> Iterator[Bill]:
    for way in Way:
        bills = [bill for bill in made.bills if bill.option.way is way]
        if bills:
            yield min(bills, key=lambda bill: bill.total)


def _break_evens(made: Comparison, lang: str) -> TextTable:
    found = {(one.other, one.key): one for one in made.break_evens}
    rows = tuple(
        (
            option_name(bill.option, lang),
            break_even_words(found[bill.option, USERS], lang),
            break_even_words(found[bill.option, REQUESTS], lang),
        )
        for bill in made.bills[1:]
    )
    columns = tuple(word(lang, f"cost.column.{name}") for name in ("against", "from_users", "from_requests"))
    return TextTable(word(lang, "cost.title.break_even"), columns, rows, (word(lang, "cost.note.break_even"),))


def break_even_words(one: BreakEven, lang: str) -> str:
    """From 403 on; from 403 on, though not always; never up to 100,000."""
    if one.lasting_from is None:
        return _filled(lang, "cost.never", most=number(one.most, lang))
    key = "cost.from" if len(one.crossings) < 2 else "cost.from_at_last"
    return _filled(lang, key, demand=number(one.lasting_from, lang))


def _swings(made: Comparison, lang: str) -> TextTable:
    columns = tuple(word(lang, f"cost.column.{name}") for name in ("assumption", "amount", "at_low", "at_high"))
    rows = tuple(
        (
            assumption_name(one.key, lang), f"{_amount(one.amount, lang)}",
            won_in_words(one.at_low, lang), won_in_words(one.at_high, lang),
        )
        for one in made.swings[:_SWINGS]
    )  # fmt: skip
    return TextTable(word(lang, "cost.title.swings"), columns, rows)


def _solved(made: Comparison, lang: str) -> TextTable:
    columns = tuple(word(lang, f"cost.column.{name}") for name in ("run", "model", "suite", "share", "per_solved"))
    rows = tuple(
        (one.run_id[:10], one.model, one.suite, f"{number(one.share * 100, lang)} %", won_in_words(won, lang))
        for one, won in made.solved
    )
    return TextTable(word(lang, "cost.title.solved"), columns, rows, (word(lang, "cost.note.solved"),))


def _assumptions(made: Comparison, lang: str) -> TextTable:
    columns = tuple(word(lang, f"cost.column.{name}") for name in ("name", "assumption", "amount", "source"))
    rows = tuple(
        (key, assumption_name(key, lang), _amount(one, lang), _source(one, lang))
        for key, one in made.assumptions.used().items()
    )
    return TextTable(word(lang, "cost.title.assumptions"), columns, rows)


def _source(one: Amount, lang: str) -> str:
    said = word(lang, f"source.{one.source}", one.source) + (f", {one.date}" if one.date else "")
    return f"{said}; {word(lang, 'cost.range')}: {one.range}" if one.range else said


def _amount(one: Amount, lang: str) -> str:
    unit = word(lang, f"unit.{one.unit}", one.unit)
    if one.low == one.high:
        return f"{_plain(one.likely, lang)} {unit}".strip()
    return f"{_plain(one.low, lang)} – {_plain(one.likely, lang)} – {_plain(one.high, lang)} {unit}".strip()


def _plain(value: float, lang: str) -> str:
    return number(value, lang) if value else "0"


def _range(one: Spread, lang: str) -> str:
    return f"{won_in_words(one.low, lang)} – {won_in_words(one.high, lang)}"


def _won(value: int | None, lang: str) -> str:
    return "–" if value is None else number(value, lang)


def _filled(lang: str, key: str, **values: str) -> str:
    text = word(lang, key)
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text
