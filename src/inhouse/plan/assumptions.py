"""What a cost is computed from: amounts with a range, a unit and a source, from one TOML file that its user edits.

A user's file stands over the one shipped here (assumptions.toml). Knows no formula and no currency but by its name.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from inhouse.core.errors import UsageError

ASSUMED = "assumption"
"""The source of an amount that nobody published or measured."""
GIVEN = "given"
"""The source of an amount that the user's file or command line states as a plain number."""

CATALOGUES = ("hardware", "cloud", "managed", "seats")
"""The tables that hold several things to choose from, by name."""
COUNTRIES = ("kr", "us")
WAYS = ("own", "cloud", "managed", "api", "seats")
"""The ways to an LLM that amounts are told apart by."""

_FIELDS = ("low", "likely", "high", "unit", "source", "date", "range")
_INHERITED = ("unit", "source", "date", "range")
# Units and names of what is divided by.
_OVER_ZERO = (
    *("KRW/USD", "years", "tokens/s"),
    *("users", "requests_per_user_day", "days_per_year", "prompt_tokens", "completion_tokens", "utilisation"),
)
_CURRENCIES = ("USD", "KRW")


@dataclass(frozen=True, slots=True)
class Amount:
    """A value and the range it is drawn from. `range` names the source of low and high where it is another one."""

    low: float
    likely: float
    high: float
    unit: str
    source: str
    date: str = ""
    range: str = ""

    @property
    def assumed(self) -> bool:
        """Whether the value itself is an assumption."""
        return self.source == ASSUMED


@dataclass(frozen=True, slots=True)
class Choice:
    """What is compared: one of each catalogue, API models as provider:model, and whose salaries are paid."""

    country: str
    own: str
    cloud: str
    managed: str
    api: tuple[str, ...]
    seats: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Assumptions:
    """All amounts by their dotted name (`power.pue`, `hardware.l40s.busy_w`)."""

    choice: Choice
    amounts: Mapping[str, Amount]

    def replaced(self, amounts: Mapping[str, Amount]) -> Assumptions:
        """With other amounts under those names."""
        return Assumptions(self.choice, {**self.amounts, **amounts})

    def used(self) -> dict[str, Amount]:
        """The amounts that the choice takes in: of a catalogue only what is compared, of salaries one country's."""
        chosen = {
            "hardware": (self.choice.own,), "cloud": (self.choice.cloud,), "managed": (self.choice.managed,),
            "seats": self.choice.seats,
        }  # fmt: skip

        def counts(key: str) -> bool:
            table, *rest = key.split(".")
            if table in chosen:
                return rest[0] in chosen[table]
            return table not in ("roles", "overhead") or rest[-1] == self.choice.country

        return {key: amount for key, amount in self.amounts.items() if counts(key)}

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values: the choice, and every amount that it takes in."""
        return {
            "compare": {name: _plain(getattr(self.choice, name)) for name in Choice.__slots__},
            "amounts": {
                key: {name: getattr(one, name) for name in _FIELDS if getattr(one, name) != ""}
                for key, one in self.used().items()
            },
        }


def stem_of(key: str) -> tuple[str, str]:
    """An amount's name without what it is of, and that: `share.ml.own` is (`share.ml`, `own`).

    What it is of: a way, a thing of a catalogue, a country; empty where it is of all.
    """
    table, *rest = key.split(".")
    if table in CATALOGUES and len(rest) == 2:
        return f"{table}.{rest[1]}", rest[0]
    if rest and rest[-1] in (*WAYS, *COUNTRIES):
        return key.rpartition(".")[0], rest[-1]
    return key, ""


def shipped_text() -> str:
    """The file that comes with the program, to be copied and edited."""
    return (resources.files("inhouse.plan") / "assumptions.toml").read_text(encoding="utf-8")


def load_assumptions(path: Path | None = None) -> Assumptions:
    """The shipped assumptions, with those of `path` over them.

    Raises:
        UsageError: the file cannot be read, names what is unknown, or holds an amount that cannot be.
    """
    shipped = tomllib.loads(shipped_text())
    known = dict(_amounts("assumptions.toml", shipped, {}))
    if path is None:
        return Assumptions(_choice("assumptions.toml", shipped["compare"], known), known)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"The assumptions {path} cannot be read", why=str(error)) from None
    given = table.get("compare", {})
    if not isinstance(given, dict):
        raise _bad(str(path), "compare must be a table")
    amounts = {**known, **dict(_amounts(str(path), table, known))}
    _complete(str(path), amounts)
    return Assumptions(_choice(str(path), {**shipped["compare"], **given}, amounts), amounts)


def given(key: str, amount: Amount, value: float) -> Amount:
    """The amount with one sure value in place of its range; UsageError where it cannot be."""
    _check("the command line", key, amount.unit, _number("the command line", key, value), value, amount)
    return Amount(value, value, value, amount.unit, GIVEN)


def _amounts(file: str, table: Mapping[str, Any], known: Mapping[str, Amount]) -> Iterator[tuple[str, Amount]]:
    """Every amount of a file; `known` are those it stands over, empty for the shipped file itself."""

    def walk(key: str, value: object, above: Mapping[str, Any]) -> Iterator[tuple[str, Amount]]:
        if isinstance(value, dict) and "likely" not in value and key not in known:
            inherited = {**above, **{name: value[name] for name in _INHERITED if name in value}}
            for name, inner in value.items():
                if name not in _INHERITED:
                    yield from walk(f"{key}.{name}" if key else name, inner, inherited)
            return
        before = _before(file, key, known)
        yield key, _amount(file, key, value, above, before)

    for name, value in table.items():
        if name != "compare":
            yield from walk(name, value, {})


def _before(file: str, key: str, known: Mapping[str, Amount]) -> Amount | None:
    """The shipped amount under the key, or its like in a catalogue's first entry; UsageError for an unknown key."""
    if not known or key in known:
        return known.get(key)
    table, *rest = key.split(".", 2)
    if table in CATALOGUES and len(rest) == 2:
        for other, amount in known.items():
            if other.split(".")[0] == table and other.split(".", 2)[2] == rest[1]:
                return amount
    near = difflib.get_close_matches(key, known, 1)
    raise _bad(file, f"{key} is unknown", f"Did you mean {near[0]}?" if near else "")


def _amount(file: str, key: str, value: object, above: Mapping[str, Any], before: Amount | None) -> Amount:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if before is None:
            raise _bad(file, f"{key} needs a unit and a source")
        entry: dict[str, Any] = {"likely": value, "unit": before.unit, "source": GIVEN}
    elif isinstance(value, dict):
        entry = {**above, **value}
    else:
        raise _bad(file, f"{key} must be a number or a table with likely")
    unknown = sorted(set(entry) - set(_FIELDS))
    if unknown:
        raise _bad(file, f"{key} has {', '.join(unknown)}; an entry has {', '.join(_FIELDS)}")
    if "likely" not in entry:
        raise _bad(file, f"{key} needs likely")
    likely = _number(file, f"{key}.likely", entry["likely"])
    low, high = (_number(file, f"{key}.{name}", entry.get(name, likely)) for name in ("low", "high"))
    if not low <= likely <= high:
        raise _bad(file, f"{key} must have low ≤ likely ≤ high, not {low:g}, {likely:g}, {high:g}")
    unit = str(entry.get("unit", before.unit if before else ""))
    _check(file, key, unit, low, high, before)
    source = str(entry.get("source", ASSUMED))
    return Amount(low, likely, high, unit, source, str(entry.get("date", "")), str(entry.get("range", "")))


def _check(file: str, key: str, unit: str, low: float, high: float, before: Amount | None) -> None:
    """That the amount can be: its unit is the known one (in either currency), its range is possible."""
    if not unit:
        raise _bad(file, f"{key} needs a unit")
    if before is not None and unit != before.unit and _without_currency(unit) != _without_currency(before.unit):
        raise _bad(file, f"{key} is in {unit!r}; it is counted in {before.unit!r}")
    if unit in _OVER_ZERO or key.rpartition(".")[2] in _OVER_ZERO:
        if low <= 0:
            raise _bad(file, f"{key} must be over 0")
    elif low < 0:
        raise _bad(file, f"{key} must not be negative")
    if unit == "share" and high > 1:
        raise _bad(file, f"{key} is a share, 0 to 1")
    if key == "power.pue" and low < 1:
        raise _bad(file, "power.pue is at least 1")


def _complete(file: str, amounts: Mapping[str, Amount]) -> None:
    """That each entry of a catalogue has all that the others have."""
    for table in CATALOGUES:
        fields: dict[str, set[str]] = {}
        for key in amounts:
            if key.startswith(f"{table}."):
                _, name, field = key.split(".", 2)
                fields.setdefault(name, set()).add(field)
        every = set().union(*fields.values())
        for name, has in fields.items():
            if every - has:
                raise _bad(file, f"{table}.{name} lacks {', '.join(sorted(every - has))}")


def _choice(file: str, table: Mapping[str, Any], amounts: Mapping[str, Amount]) -> Choice:
    unknown = sorted(set(table) - set(Choice.__slots__))
    if unknown:
        raise _bad(file, f"compare has {', '.join(unknown)}; it has {', '.join(Choice.__slots__)}")
    choice = Choice(
        str(table["country"]), str(table["own"]), str(table["cloud"]), str(table["managed"]),
        _names(file, "api", table["api"]), _names(file, "seats", table["seats"]),
    )  # fmt: skip
    if choice.country not in COUNTRIES:
        raise _bad(file, f"compare.country is {choice.country!r}; it can be {' or '.join(COUNTRIES)}")
    wanted = {"hardware": (choice.own,), "cloud": (choice.cloud,), "managed": (choice.managed,), "seats": choice.seats}
    for catalogue, names in wanted.items():
        offered = sorted({key.split(".")[1] for key in amounts if key.startswith(f"{catalogue}.")})
        for name in names:
            if name not in offered:
                raise _bad(file, f"[{catalogue}] has no {name!r}", f"It has {', '.join(offered)}")
    for model in choice.api:
        if ":" not in model:
            raise _bad(file, f"compare.api has {model!r}", "Write provider:model, as in openai:gpt-5.4-mini")
    return choice


def _names(file: str, name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _bad(file, f"compare.{name} must be a list of names")
    return tuple(dict.fromkeys(value))


def _number(file: str, key: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or value != value or value in (1e400, -1e400):
        raise _bad(file, f"{key} must be a number")
    return float(value)


def _without_currency(unit: str) -> str:
    head, slash, rest = unit.partition("/")
    return f"money{slash}{rest}" if head in _CURRENCIES and rest not in _CURRENCIES else unit


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _bad(file: str, why: str, do: str = "") -> UsageError:
    return UsageError(
        f"The assumptions {file} cannot be used", why=why, do=do or "See docs/cost.md for the file's form"
    )
