"""What it took to make the study: processes started, settings touched, failures met, packages loaded, time to the
first answer. Watches and counts; what follows from it is said in effort_findings.py.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import metadata
from types import TracebackType
from typing import Any

import psutil

from inhouse.core.records import Metric, Run, RunStatus
from inhouse.core.settings import Settings
from inhouse.store.repository import Store
from inhouse.study.base import Context, Part, outcomes

WHOLE = 0
"""The phase of what concerns the study as a whole."""
PROVOKED = frozenset({"overload", "failover", "cost"})
"""The parts that make requests fail on purpose."""
_EVERY_S = 1.0  # a process that lives shorter than this is not seen; a look takes 3 ms
_KINDS = {
    "inhouse.engines.worker": "engine",
    "inhouse.study.gateway_process": "gateway",
    "inhouse.docs.load_worker": "loader",
}
_PREFIX = "INHOUSE_"


@dataclass(slots=True)
class Watch:
    """Sees which processes the study starts, on a thread of its own, from entering the context to leaving it.

    Those that run already are not the study's.
    """

    _seen: set[tuple[int, float]] = field(default_factory=set)
    _processes: Counter[str] = field(default_factory=Counter)
    _settings: dict[str, int] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Watch:
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                self._seen.add((process.pid, process.create_time()))
        self._thread = threading.Thread(target=self._watch, name="effort", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def keep(self, store: Store, study_id: str) -> None:
        """Adds what was seen since the last time to the study's progress, so that a resumed study counts on."""
        progress = store.progress(study_id)
        kept = progress.get("effort", {})
        seen, self._processes = self._processes, Counter()
        store.set_progress(
            study_id,
            {
                **progress,
                "effort": {
                    "processes": dict(Counter(kept.get("processes", {})) + seen),
                    "settings": {**kept.get("settings", {}), **self._settings},
                },
            },
        )

    def _watch(self) -> None:
        while not self._stop.wait(_EVERY_S):
            self._look()

    def _look(self) -> None:
        own = psutil.Process().cmdline()
        for process in psutil.Process().children(recursive=True):
            try:
                identity, command = (process.pid, process.create_time()), process.cmdline()
                if identity in self._seen or not command or command == own:  # a fork that is no program yet
                    continue
                self._seen.add(identity)
                kind = next((kind for module, kind in _KINDS.items() if module in command), "other")
                self._processes[kind] += 1
                if kind == "gateway":
                    self._settings |= touched(process.environ())
            except psutil.Error:
                continue


def touched(environment: Mapping[str, str]) -> dict[str, int]:
    """The settings of this program that an environment gives another value than the default: how many values each
    states (a model with two replicas states several).
    """
    given = {name: text for name, text in environment.items() if name.startswith(_PREFIX)}
    return {name: _stated(text) for name, text in given.items() if text != _defaults().get(name)}


@lru_cache(maxsize=1)
def _defaults() -> dict[str, str]:
    from inhouse.gateway.settings import GatewaySettings

    fields = {f"{_PREFIX}{name.upper()}": field for name, field in Settings.model_fields.items()}
    fields |= {f"{_PREFIX}GATEWAY_{name.upper()}": field for name, field in GatewaySettings.model_fields.items()}
    return {name: str(field.get_default()) for name, field in fields.items()}


def _stated(text: str) -> int:
    try:
        return _leaves(json.loads(text))
    except ValueError:
        return 1


def _leaves(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 1 if inside is None else sum(map(_leaves, inside))


async def _effort(context: Context) -> str:
    """Counts what is kept of the whole study."""
    store, study = context.store, context.study
    done = {name: outcome for name, outcome in outcomes(store, study.id).items() if outcome.phase != WHOLE}
    earlier = outcomes(store, study.id).get("effort")
    if earlier is not None and earlier.run:
        store.delete_run(earlier.run)  # of the study before it was resumed
    progress = store.progress(study.id)
    runs = store.list_runs(study_id=study.id)
    found = [
        *(
            _counted(
                "study_parts", sum(outcome.status == status for outcome in done.values()), len(done), status=status
            )
            for status in ("done", "skipped", "failed")
        ),
        _counted("repeated_parts", sum(number - 1 for number in progress.get("attempts", {}).values())),
        *_processes(progress.get("effort", {}), context.settings),
        *_requests(store, runs),
        *_packages(),
        *_first_answer(store, {name: outcome.run for name, outcome in done.items() if outcome.run}),
    ]
    run = store.create_run(
        "effort", {"name": "effort"}, seed=context.config.seed, environment=context.environment,
        model=context.config.model, study_id=study.id,
    )  # fmt: skip
    store.set_metrics(run.id, found)
    store.finish_run(run.id, RunStatus.DONE)
    return run.id


def _counted(name: str, value: float, n: int | None = None, unit: str = "", **labels: str) -> Metric:
    return Metric(name, float(value), unit, labels, n=n, method="counted")


def _processes(kept: Mapping[str, Any], settings: Settings) -> Iterator[Metric]:
    for kind, number in sorted(kept.get("processes", {}).items()):
        yield _counted("processes_started", number, process=kind)
    own = {f"{_PREFIX}{name.upper()}": 1 for name in settings.model_fields_set}
    given = {**own, **kept.get("settings", {})}
    yield _counted("settings_touched", len(given))
    yield _counted("configuration_values", sum(given.values()))


def _requests(store: Store, runs: list[Run]) -> Iterator[Metric]:
    ends: Counter[str | None] = Counter()
    retried = 0.0
    for run in runs:
        retried += sum(m.value for m in store.metrics(run.id) if m.name in ("retried_requests", "retries"))
        if run.config.get("name") not in PROVOKED:
            for counted in store.sample_counts(run.id):
                ends[counted.error_kind] += counted.count
    total = sum(ends.values())
    yield _counted("requests_sent", total)
    for kind, number in ends.items():
        if kind is not None:
            yield _counted("failed_requests", number, total, kind=kind)
    yield _counted("requests_retried", retried)


def _packages() -> Iterator[Metric]:
    """The packages of others that this process has loaded, and what they take on disk by their own records."""
    loaded = {name.partition(".")[0] for name in sys.modules}
    names = {d for module, of in metadata.packages_distributions().items() if module in loaded for d in of}
    names.discard("inhouse")
    files = [file for name in names for file in metadata.distribution(name).files or ()]
    yield _counted("packages_loaded", len(names))
    size = float(sum(file.size or 0 for file in files))
    yield Metric("packages_bytes", size, "B", n=len(names), method="counted: by the packages' own records")


def _first_answer(store: Store, runs: Mapping[str, str]) -> Iterator[Metric]:
    """From nothing on this machine but the program to the first token: the download and a cold start."""
    pulled = store.metrics(runs["pull"]) if "pull" in runs else []
    started = store.metrics(runs["cold_start"]) if "cold_start" in runs else []
    download = next((m for m in pulled if m.name == "download_s" and not m.predicted), None)
    totals = {m.labels.get("cache"): m for m in started if m.name == "cold_start_s" and m.labels.get("part") == "total"}
    start = totals.get("cold") or totals.get("warm")
    if download is not None and start is not None:
        value, labels = download.value + start.value, {"download_s": download.value, "start_s": start.value}
        yield Metric("first_answer_s", value, "s", labels, method="sum of download and start")


CLOSING: tuple[Part, ...] = (Part("effort", WHOLE, "what making this study took", 0.0, _effort),)
"""The parts that come last, whatever the phases."""
