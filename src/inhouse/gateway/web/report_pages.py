"""The studies' reports inside the pages: each in a frame that runs nothing and reaches nothing.

How a report is made is the report's part, above the gateway: it is handed in as `Gateway.report`. It is made in a
process of its own, since it takes seconds of computing that no answer under way should wait for.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections import OrderedDict
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from inhouse.core.errors import GatewayError, RunNotFound
from inhouse.core.records import Run
from inhouse.gateway.gateway import ReportPage
from inhouse.gateway.web.run_pages import only_admins, reader, run_of
from inhouse.gateway.web.web import Web, page_router
from inhouse.store.repository import Store

REPORT = "/ui/report"
_LISTED = 100
_REMEMBERED = 8
# The report brings its style in itself, and has no script; the sandbox keeps both so, wherever it is opened.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox allow-popups"

_State = tuple[object, ...]


class _Made:
    """The last reports that were made, each until its study changes; one is made at a time."""

    def __init__(self, make: ReportPage) -> None:
        self._make = make
        self._pages: OrderedDict[_State, str] = OrderedDict()
        self._one = asyncio.Lock()

    async def page(self, state: _State, study_id: str, lang: str, theme: str) -> str:
        async with self._one:
            if state not in self._pages:
                self._pages[state] = await asyncio.to_thread(self._elsewhere, study_id, lang, theme)
                while len(self._pages) > _REMEMBERED:
                    self._pages.popitem(last=False)
            self._pages.move_to_end(state)
            return self._pages[state]

    def _elsewhere(self, study_id: str, lang: str, theme: str) -> str:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            try:
                return process.submit(self._make, study_id, lang, theme).result()
            except BrokenProcessPool:
                raise GatewayError(
                    "The report was not made",
                    why="the process that makes it was ended, most likely for want of memory",
                    do=f"Load the page again, or make it with: inhouse report {study_id[:10]}",
                ) from None


def report_pages(web: Web, make: ReportPage) -> APIRouter:
    """/ui/report and what lies under it."""
    router = page_router()
    store = Store.over(web.gateway.database)
    made = _Made(make)
    web.nav.append(("nav.report", REPORT, only_admins(web)))

    def study_of(study_id: str) -> Run:
        found = run_of(store, study_id)
        if found.kind != "study":
            raise RunNotFound(f"The run {study_id} is no study")
        return found

    @router.get("/report")
    async def listed(request: Request) -> Response:
        visit, _ = await reader(web, request)
        studies = await asyncio.to_thread(lambda: store.list_runs(kind="study", limit=_LISTED))
        return web.page(request, visit, "reports.html", studies=studies)

    @router.get("/report/{study_id}")
    async def shown(request: Request, study_id: str, lang: Literal["ko", "en"] | None = None) -> Response:
        visit, _ = await reader(web, request)
        study = await asyncio.to_thread(study_of, study_id)
        return web.page(request, visit, "study_report.html", study=study, lang=lang or visit.lang)

    @router.get("/report/{study_id}/{lang}")
    async def framed(request: Request, study_id: str, lang: Literal["ko", "en"]) -> Response:
        """The report alone, as it was made."""
        visit, _ = await reader(web, request)
        theme = "" if visit.theme == "auto" else visit.theme

        def state() -> _State:
            study = study_of(study_id)
            parts = [(one.id, one.status, one.ended_at) for one in store.list_runs(study_id=study.id)]
            return (study.id, study.status, study.ended_at, tuple(parts), len(store.findings(study.id)), lang, theme)

        html = await made.page(await asyncio.to_thread(state), study_id, lang, theme)
        return HTMLResponse(html, headers={"Content-Security-Policy": _POLICY})

    return router
