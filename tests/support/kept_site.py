"""A gateway with pages over a store that holds runs, a trace and an audit log."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from browsing import Site, talking_site
from kept_runs import ATTACK, KeptRuns, build_runs, keep_trace

from inhouse.gateway.audit import AuditEvent, open_audit_log
from inhouse.gateway.keeper import Keeper
from inhouse.gateway.logs import open_log
from inhouse.report.served import study_page
from inhouse.store.database import Database
from inhouse.store.repository import Store


@dataclass(frozen=True)
class KeptSite:
    """The site, what its store holds, and the trace of the command line."""

    site: Site
    runs: KeptRuns
    trace: str

    @property
    def run_paths(self) -> list[str]:
        """The addresses of every page of runs, review, traces and reports."""
        runs = self.runs
        return [
            "/ui/runs",
            *(f"/ui/runs/{one}" for one in (runs.study, runs.bench, runs.eval, runs.needles, runs.ways)),
            f"/ui/runs/{runs.bench}/samples",
            f"/ui/runs/{runs.bench}/samples/1",
            f"/ui/runs/{runs.eval}/answers",
            f"/ui/runs/{runs.eval}/answers/1",
            f"/ui/runs/compare?run={runs.bench}&run={runs.bench_after}",
            f"/ui/runs/compare?run={runs.eval}&run={runs.eval_after}",
            f"/ui/runs/compare?run={runs.needles}&run={runs.needles}",
            "/ui/runs/review",
            f"/ui/runs/{runs.eval}/review",
            "/ui/runs/traces",
            f"/ui/runs/traces/{self.trace}",
            "/ui/report",
            f"/ui/report/{runs.study}",
        ]


ADMIN_PATHS = [f"/ui/admin/{name}" for name in ("keys", "teams", "usage", "audit", "guard")]


@contextmanager
def kept_site(store_url: str, folder: Path, **parts) -> Iterator[KeptSite]:
    """Serves until the block ends; `parts` as of `talking_site`."""
    with Store(store_url) as store:
        runs = build_runs(store)
        with ThreadPoolExecutor(1) as thread:  # a browser's event loop may run in this one
            trace = thread.submit(asyncio.run, keep_trace(store.database, "somebody")).result()
    database = Database(store_url)
    audit = open_audit_log(database, folder, os.environ)
    audit.append([AuditEvent(f"boss {ATTACK}", "key.create", ATTACK, {"name": ATTACK})])
    keeper = Keeper(audit, None, open_log("error"))
    report = partial(study_page, store_url)
    try:
        with talking_site(store_url, keeper=keeper, report=report, **{"open_to_all": False, **parts}) as site:
            yield KeptSite(site, runs, trace)
    finally:
        database.close()
