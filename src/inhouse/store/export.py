"""Runs as files: a JSON document that holds all of a run and can be imported again, or a CSV row a sample.

A study's file holds the runs that are parts of it. Knows nothing of the database.
"""

from __future__ import annotations

import csv
import io
from typing import Any

import orjson

from inhouse.core.errors import UsageError
from inhouse.core.records import Run, Sample
from inhouse.store.identity import is_run_id
from inhouse.store.repository import Store
from inhouse.store.rows import KeptRun

FORMAT = "inhouse.runs/1"
"""What the JSON document's `format` says; another number is another layout."""

_SAMPLE_COLUMNS = (
    "index", "stage", "intended_start_s", "start_s", "first_token_s", "end_s", "client_wait_s", "ttft_s", "tpot_s",
    "e2e_s", "e2e_from_intended_s", "prompt_tokens", "completion_tokens", "cached_tokens", "finish_reason",
)  # fmt: skip


def runs_to_json(store: Store, run_id: str) -> str:
    """Everything kept under the run (a full id), then its parts: `{"format": …, "runs": [KeptRun, …]}`."""
    runs = [store.kept_run(part) for part in _with_parts(store, run_id)]
    return orjson.dumps({"format": FORMAT, "runs": runs}).decode() + "\n"


def import_json(store: Store, text: bytes) -> list[Run]:
    """Keeps an exported document's runs under their own ids, all or none; the runs, a study first.

    UsageError where it is no such document, StoreError where one of its runs is kept already.
    """
    from pydantic import TypeAdapter, ValidationError

    do = "Give a file that `inhouse runs export` wrote as JSON"
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UsageError("This is not an exported run", why=f"it is no JSON: {error}", do=do) from None
    found = document.get("format") if isinstance(document, dict) else None
    if found != FORMAT:
        raise UsageError("This is not an exported run", why=f"its format is {found!r}, not {FORMAT!r}", do=do)
    try:
        kept = TypeAdapter(list[KeptRun]).validate_python(document.get("runs"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError("The exported run cannot be read", why=f"runs.{where}: {first['msg']}", do=do) from None
    if not kept:
        raise UsageError("This is not an exported run", why="it holds no run", do=do)
    for part in kept:
        if not is_run_id(part.run.id):
            raise UsageError("The exported run cannot be read", why=f"{part.run.id!r} is no run id", do=do)
    store.restore_runs(kept)
    return [part.run for part in kept]


def samples_to_csv(store: Store, run_id: str) -> str:
    """A row a sample of the run and of its parts: times, tokens, error, each tag and each of the engine's timings."""
    records: list[dict[str, Any]] = []
    for part in _with_parts(store, run_id):
        records += (_csv_record(part, sample) for sample in store.samples(part))
    fixed = ["run_id", *_SAMPLE_COLUMNS, "error_kind", "error_message"]
    found = dict.fromkeys(name for record in records for name in record if name not in fixed)
    out = io.StringIO()
    writer = csv.DictWriter(out, [*fixed, *sorted(found)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue()


def _csv_record(run_id: str, sample: Sample) -> dict[str, Any]:
    record = {"run_id": run_id, "stage": sample.tags.get("stage")}
    record |= {name: getattr(sample, name) for name in _SAMPLE_COLUMNS if name != "stage"}
    if sample.error is not None:
        record |= {"error_kind": sample.error.kind, "error_message": sample.error.message}
    record |= {f"tag_{name}": value for name, value in sample.tags.items() if name != "stage"}
    record |= {f"engine_{name}": value for name, value in sample.engine_timings.items()}
    texts = {"prompt": sample.prompt, "answer": sample.answer}
    return record | {name: text for name, text in texts.items() if text is not None}


def _with_parts(store: Store, run_id: str) -> list[str]:
    """The run's id and, for a study, those of its runs in the order they were made."""
    return [run_id, *(run.id for run in reversed(store.list_runs(study_id=run_id)))]
