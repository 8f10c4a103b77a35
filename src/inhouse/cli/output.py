"""How commands print: results on stdout, progress and remarks on stderr, errors in one form.

A command prints a table for people, or the same as JSON with --json; it never prints both.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from inhouse.core.errors import InhouseError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.status import Status


def console(*, stderr: bool = False) -> Console:
    """A Rich console that prints text as it is (no markup, no guessing at what to highlight)."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Prints one JSON document (dataclasses, dates and paths included)."""
    sys.stdout.write(orjson.dumps(value, default=_plain, option=orjson.OPT_INDENT_2).decode() + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """Prints rows under their headings; columns of numbers align right. Piped output has the same columns."""
    from rich import box
    from rich.table import Table

    filled = [[_cell(value) for value in row] for row in rows]
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for index, column in enumerate(columns):
        numeric = bool(filled) and all(row[index][:1].isdigit() or row[index] in ("", "–") for row in filled)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in filled:
        table.add_row(*row)
    out = console()
    if not out.is_terminal:
        out.width = 200
    out.print(table)


def note(text: str) -> None:
    """A remark for the person at the terminal, on stderr."""
    console(stderr=True).print(text, style="dim")


def waiting(what: str) -> Status:
    """Says on stderr what is waited for, until it is left or stopped; silent where stderr is no terminal."""
    return console(stderr=True).status(what)


def progress(*, transient: bool = True) -> Progress:
    """A progress display on stderr with amount, speed and time left; silent where stderr is no terminal."""
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console(stderr=True),
        transient=transient,
    )


def print_error(error: InhouseError) -> None:
    """The one form in which an error reaches the terminal: what, why, what to do."""
    line = f"error: {error.what}" + (f": {error.why}" if error.why else "")
    sys.stderr.write(line.rstrip(".") + "\n")
    if error.do:
        sys.stderr.write(f"  {error.do}\n")


def _cell(value: object) -> str:
    return "–" if value is None else str(value)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Decimal):  # money
        return int(value) if value == int(value) else float(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
