"""Which program wrote a file, and reading it; writing a kept run in a program's form."""

from __future__ import annotations

import hashlib
import zipfile
from enum import StrEnum
from pathlib import Path

from inhouse.core.errors import UsageError
from inhouse.quality.exchange import inspect_logs, lm_eval, rows
from inhouse.quality.exchange.base import Exchanged


class Format(StrEnum):
    """A form in which evaluations are exchanged."""

    JSONL = "jsonl"
    CSV = "csv"
    LM_EVAL = "lm-eval"
    INSPECT = "inspect"
    INSPECT_JSON = "inspect-json"


def read(path: Path, form: Format | None = None) -> tuple[Exchanged, str]:
    """The evaluation in a file or, of lm-eval, in a folder, and its sha256.

    Raises:
        UsageError: there is no such file, or it does not show what it is.
        QualityError: it cannot be read as what it is.
    """
    if not path.exists():
        raise UsageError(f"There is no file {path}")
    form = form or _form(path)
    try:
        found = _read(path, form)
        data = path.read_bytes() if path.is_file() else b""
    except OSError as error:
        raise UsageError(f"{path} cannot be read", why=error.strerror or str(error)) from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no UTF-8 text", why=str(error)) from None
    return found, hashlib.sha256(data).hexdigest() if data else ""


def write(found: Exchanged, path: Path, form: Format) -> list[Path]:
    """Writes the evaluation: JSONL and CSV to a file, the others into a folder, made if it is not there; the files."""
    try:
        if form in (Format.JSONL, Format.CSV):
            path.write_text(rows.to_jsonl(found) if form is Format.JSONL else rows.to_csv(found), encoding="utf-8")
            return [path]
        path.mkdir(parents=True, exist_ok=True)
        if form is Format.LM_EVAL:
            return lm_eval.write(found, path)
        return inspect_logs.write(found, path, as_json=form is Format.INSPECT_JSON)
    except OSError as error:
        raise UsageError(f"{path} cannot be written", why=error.strerror or str(error)) from None


def _read(path: Path, form: Format) -> Exchanged:
    match form:
        case Format.JSONL:
            return rows.from_jsonl(path.read_text(encoding="utf-8-sig"))
        case Format.CSV:
            return rows.from_csv(path.read_text(encoding="utf-8-sig"))
        case Format.LM_EVAL:
            return lm_eval.read(path)
        case Format.INSPECT | Format.INSPECT_JSON:
            return inspect_logs.read(path)


def _form(path: Path) -> Format:
    if path.is_dir() or path.name.startswith(("results_", "samples_")):
        return Format.LM_EVAL
    if path.suffix == ".eval" or (path.is_file() and zipfile.is_zipfile(path)):
        return Format.INSPECT
    known = {".jsonl": Format.JSONL, ".csv": Format.CSV, ".json": Format.INSPECT}
    if path.suffix in known:
        return known[path.suffix]
    raise UsageError(f"{path} does not show what wrote it", do=f"Say it with --format: {', '.join(Format)}")
