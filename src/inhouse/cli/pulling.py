"""Carries out `inhouse models pull`: progress on the terminal, and the download kept as a run."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from inhouse.cli.main import run_async
from inhouse.cli.output import note, progress
from inhouse.core.environment import read_environment
from inhouse.core.errors import InhouseError, StoreError
from inhouse.core.records import Metric, Run, RunStatus
from inhouse.core.settings import Settings
from inhouse.core.units import format_bytes
from inhouse.models.catalogue import find_entry
from inhouse.models.pull import PullProgress, preferred_sources, pull
from inhouse.store.repository import Store

# The speed shown is that of so many last seconds.
_SPEED_WINDOW_S = 5.0


def pull_file(settings: Settings, name: str, sources: Sequence[str] | None) -> dict[str, Any]:
    """Pulls a catalogue model's file onto this machine."""
    entry = find_entry(name, settings.data_dir)
    wanted = sources or preferred_sources(settings)
    with _kept(settings, entry.name, "embedded") as kept, _display(entry.name) as show:
        result = run_async(
            pull(entry, settings.models_dir, sources=wanted, folder=settings.model_folder, on_progress=show)
        )
        kept.already_there = result.already_there
        kept.metrics = [] if result.already_there else _metrics(result.downloaded_bytes, result.seconds)
    return {"name": entry.name, **asdict(result)}


def pull_by_ollama(settings: Settings, name: str) -> dict[str, Any]:
    """Has the Ollama server download a model."""
    with _kept(settings, name, "ollama") as kept, _display(name) as show:
        result = run_async(_follow_ollama(settings, name, show))
        kept.already_there = result["already_there"]
        kept.metrics = [] if kept.already_there else _metrics(result["downloaded_bytes"], result["seconds"])
    return result


async def _follow_ollama(settings: Settings, name: str, show: Callable[[PullProgress], None]) -> dict[str, Any]:
    from inhouse.engines.ollama import OllamaEngine

    engine = OllamaEngine(settings.ollama_url, stall_s=settings.stall_s)
    started = time.monotonic()
    begun: dict[str, int] = {}  # bytes of each layer that were there when it was first heard of
    done: dict[str, int] = {}
    total: dict[str, int] = {}
    try:
        async for step in engine.pull(name):
            if step.digest and step.total_bytes:
                total[step.digest] = step.total_bytes
                done[step.digest] = step.done_bytes or 0
                begun.setdefault(step.digest, done[step.digest])
                show(PullProgress("downloading", sum(done.values()), sum(total.values()), "ollama"))
            else:
                show(PullProgress(step.status, sum(done.values()), sum(total.values()) or None, "ollama"))
        done = dict(total)  # the last line for a layer can fall short of its end
    finally:
        await engine.close()
    downloaded = sum(done.values()) - sum(begun.values())
    return {
        "name": name, "path": settings.ollama_url, "size_bytes": sum(total.values()), "downloaded_bytes": downloaded,
        "resumed_bytes": sum(begun.values()), "seconds": time.monotonic() - started, "source": "ollama",
        "already_there": downloaded == 0, "verified": True,
    }  # fmt: skip


def _metrics(downloaded_bytes: int, seconds: float) -> list[Metric]:
    speed = downloaded_bytes / seconds if seconds else 0.0
    return [
        Metric("download_bytes", float(downloaded_bytes), "B"),
        Metric("download_s", seconds, "s"),
        Metric("download_bytes_s", speed, "B/s"),
    ]


@dataclass(slots=True)
class _Kept:
    """What a pull leaves for its run."""

    metrics: list[Metric] | None = None
    already_there: bool = False


@contextmanager
def _kept(settings: Settings, model: str, engine: str) -> Iterator[_Kept]:
    """Keeps the pull as a run, however it ends; one that found the model here leaves none.

    A store that cannot be used must not stop a download: it is only remarked on.
    """
    kept = _Kept()
    store: Store | None = None
    run: Run | None = None
    try:
        store = Store(settings.database_url)
        config = {"model": model, "engine": engine}
        run = store.create_run("pull", config, seed=0, environment=read_environment(), model=model, engine=engine)
    except StoreError as error:
        note(f"This pull will not be kept as a run. {error}")
    status, failure = RunStatus.INTERRUPTED, None
    try:
        yield kept
        status = RunStatus.DONE
    except InhouseError as error:
        status, failure = RunStatus.FAILED, str(error)
        raise
    finally:
        if store is not None:
            try:
                if run is not None:
                    store.set_metrics(run.id, kept.metrics or [])
                    store.finish_run(run.id, status, failure)
                    if kept.already_there:
                        store.delete_run(run.id)
            except StoreError as error:
                note(f"This pull was not kept as a run. {error}")
            store.close()


@contextmanager
def _display(name: str) -> Iterator[Callable[[PullProgress], None]]:
    """A progress line with amount, speed and time left; remarks stand on lines of their own."""
    seen: deque[tuple[float, int]] = deque()
    with progress() as display:
        task = display.add_task(name, total=None, detail="")

        def show(step: PullProgress) -> None:
            if step.remark:
                display.console.print(step.remark, style="dim")
            now = time.monotonic()
            seen.append((now, step.done_bytes))
            while len(seen) > 2 and now - seen[0][0] > _SPEED_WINDOW_S:
                seen.popleft()
            span = now - seen[0][0]
            speed = (step.done_bytes - seen[0][1]) / span if span > 0.5 else 0.0
            amount = format_bytes(step.done_bytes)
            if step.total_bytes:
                amount += f" of {format_bytes(step.total_bytes)}"
            rate = f", {format_bytes(speed)}/s" if speed > 0 else ""
            downloading = step.phase == "downloading"
            display.update(
                task,
                total=step.total_bytes,
                completed=step.done_bytes,
                detail=f"{amount}{rate}" if downloading else f"{step.phase} {step.source}".strip(),
            )

        yield show
