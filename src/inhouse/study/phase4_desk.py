"""What phase 4 works on: a copy of the folder, its collection, its questions, and the runs that its parts keep."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from inhouse.bench.keeping import ending
from inhouse.core.errors import BenchError, MissingExtra, PartSkipped
from inhouse.core.records import Metric, Sample, Scalar
from inhouse.docs.embed import Embedder, NanoEmbedder
from inhouse.docs.questions import Question, read_questions
from inhouse.docs.search import Searcher
from inhouse.docs.sources import Source, scan
from inhouse.docs.stores.base import VectorStore
from inhouse.docs.stores.open import open_store
from inhouse.docs.sync import sync
from inhouse.study.base import Context

MANUAL = Path(__file__).parent / "manual"
_MOST_FILES, _MOST_BYTES = 200, 50_000_000
"""As much of a folder as is copied and measured."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What a part works on: the copied folder as a source, its collection, and the questions that there are."""

    folder: Path
    source: Source
    store: VectorStore
    embedder: Embedder
    questions: tuple[Question, ...]
    files: int
    files_in_all: int

    @property
    def searcher(self) -> Searcher:
        """Searches the collection."""
        return Searcher(self.store, self.embedder)


class Record:
    """A run's figures so far."""

    def __init__(self) -> None:
        self.metrics: list[Metric] = []
        self.samples: list[Sample] = []

    def add(self, name: str, value: float, unit: str = "", method: str = "measured", **labels: Scalar) -> None:
        """Adds a figure."""
        self.metrics.append(Metric(name, float(value), unit, labels, method=method))


@contextmanager
def recording(context: Context, part: str, engine: str | None = None) -> Iterator[tuple[str, Record]]:
    """A run of kind "docs"; at its end samples and figures are kept."""
    run = context.store.create_run(
        "docs", {"name": part}, seed=context.config.seed, environment=replace(context.environment, engine=engine),
        model=context.config.model if engine else None, engine=engine, study_id=context.study.id,
    )  # fmt: skip
    with ending(context.store, run):
        record = Record()
        yield run.id, record
        context.store.add_samples(run.id, record.samples)
        context.store.set_metrics(run.id, record.metrics)


@contextmanager
def open_desk(context: Context) -> Iterator[Desk]:
    """The study's collection, kept between its parts; PartSkipped where what it needs is not installed."""
    place = context.settings.cache_dir / "studies" / context.study.id
    folder = place / "documents"
    wanted = context.config.documents
    origin = Path(wanted) if wanted else MANUAL / context.config.lang
    try:
        embedder = NanoEmbedder(threads=context.settings.threads)
    except MissingExtra as error:
        raise PartSkipped(str(error), message="phase4.no_docs_extra", package="inhouse[docs]") from None
    if not origin.exists():
        raise BenchError(f"The documents {origin} are not there", do="Correct --documents")
    copied, in_all = _copy(origin, folder)
    if not copied:
        reason = f"{origin} holds no document that can be read"
        raise PartSkipped(reason, message="phase4.no_documents", folder=str(origin))
    asked = context.config.questions or ("" if wanted else str(MANUAL / f"questions_{context.config.lang}.jsonl"))
    questions = tuple(read_questions(Path(asked))) if asked else ()
    store = open_store("", "study", data_dir=place)
    try:
        yield Desk(folder, Source(folder), store, embedder, questions, copied, in_all)
    finally:
        store.close()


def _copy(origin: Path, folder: Path) -> tuple[int, int]:
    """Copies what can be read of a folder, up to a bound; how many files that are, and of how many."""
    every = sorted(scan(Source(origin)), key=lambda file: file.path)
    size = taken = 0
    for file in every:
        if taken >= _MOST_FILES or size + file.size_bytes > _MOST_BYTES:
            break
        taken, size = taken + 1, size + file.size_bytes
        target = folder / file.path
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.file, target)
    return taken, len(every)


def sync_desk(desk: Desk, on_progress: Callable[[float], None] | None = None) -> float:
    """Brings the collection in step; the seconds that it took."""
    began = time.perf_counter()
    sync(
        desk.source, desk.store, desk.embedder, lock=desk.folder.parent / "lock", wait_s=30.0,
        on_progress=lambda at: on_progress(min(1.0, (at.done + at.part) / max(1, at.total))) if on_progress else None,
    )  # fmt: skip
    return time.perf_counter() - began
