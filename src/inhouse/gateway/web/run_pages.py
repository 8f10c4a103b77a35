"""The pages of runs: the list, one run with its figures and heat maps, its samples and answers, two runs compared.

Reads what the store keeps, through the same functions as `inhouse runs` and `inhouse eval`; measures nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from inhouse.core.errors import Forbidden, InvalidRequest, RunNotFound, UsageError
from inhouse.core.records import Metric, Run, RunStatus
from inhouse.gateway.identity import Caller
from inhouse.gateway.web import run_view
from inhouse.gateway.web.visit import Visit
from inhouse.gateway.web.web import Tabs, Web, page_router
from inhouse.quality.answers import Answers
from inhouse.quality.review import labels_by_answer
from inhouse.store.repository import Store

if TYPE_CHECKING:  # the comparison loads numpy
    from inhouse.quality.compare import Comparison as EvalComparison

RUNS = "/ui/runs"
EVAL = "eval"
_A_PAGE = 40
_FIGURES = 100
_PARTS = 100


def run_tabs(here: str) -> Tabs:
    """The tabs of the runs' pages."""
    return Tabs((("runs.tab", RUNS), ("review.tab", f"{RUNS}/review"), ("traces.tab", f"{RUNS}/traces")), here)


def only_admins(web: Web) -> bool:
    """Whether runs and reports are for admins only."""
    return web.gateway.settings.runs_for == "admins"


async def reader(web: Web, request: Request) -> tuple[Visit, Caller]:
    """The visit and its caller, who may look at runs.

    Raises:
        Forbidden: they are for admins.
    """
    visit, caller = await web.signed_in(request)
    if only_admins(web) and not visit.admin:
        raise Forbidden("Runs are for admins here", do="Ask an admin, who can open them to all: runs_for = everyone")
    return visit, caller


def run_of(store: Store, run_id: str) -> Run:
    """The run of exactly that id; RunNotFound for the beginning of one, which a page's address never is."""
    found = store.get_run(run_id)
    if found.id != run_id:
        raise RunNotFound(f"No run goes by {run_id!r}")
    return found


def run_pages(web: Web) -> APIRouter:
    """/ui/runs and what lies under it, but for review and traces."""
    router = page_router()
    store = Store.over(web.gateway.database)
    answers = Answers(web.gateway.database)
    web.nav.append(("nav.runs", RUNS, only_admins(web)))

    @router.get("/runs")
    async def listed(
        request: Request, kind: str = "", model: str = "", status: str = "", study: str = "", before: str = ""
    ) -> Response:
        visit, _ = await reader(web, request)
        known = next((one for one in RunStatus if one.value == status), None)

        def read() -> dict[str, Any]:
            runs = store.list_runs(
                kind=kind or None, model=model or None, status=known, study_id=study or None,
                before=before or None, limit=_A_PAGE + 1,
            )  # fmt: skip
            kinds, models = store.kinds_and_models()
            return {"runs": runs[:_A_PAGE], "more": len(runs) > _A_PAGE, "kinds": kinds, "models": models}

        values = await asyncio.to_thread(read)
        chosen = {"kind": kind, "model": model, "status": known.value if known else "", "study": study}
        return web.page(
            request, visit, "runs.html", **values, chosen=chosen, statuses=[one.value for one in RunStatus],
            tabs=run_tabs(RUNS), took=run_view.took,
        )  # fmt: skip

    @router.get("/runs/compare")
    async def compared(request: Request, run: Annotated[list[str] | None, Query()] = None) -> Response:
        visit, _ = await reader(web, request)
        if run is None or len(run) != 2:
            raise InvalidRequest("Two runs are compared", why=f"{len(run or ())} were chosen", do="Choose two")
        a, b = await asyncio.to_thread(lambda: [run_of(store, one) for one in run])
        return web.page(request, visit, "run_compare.html", tabs=run_tabs(RUNS), a=a, b=b)

    @router.get("/runs/compare/rows")
    async def comparison(request: Request, a: str, b: str) -> Response:
        """What differs, apart from the page: resampling takes a moment."""
        visit, _ = await reader(web, request)
        values = await asyncio.to_thread(_compare, store, a, b, visit.lang)
        return web.page(request, visit, "run_compare_rows.html", view=run_view, **values)

    @router.get("/runs/{run_id}")
    async def shown(request: Request, run_id: str, name: str = "", skip: Annotated[int, Query(ge=0)] = 0) -> Response:
        visit, _ = await reader(web, request)

        def read() -> dict[str, Any]:
            found = run_of(store, run_id)
            metrics = store.metrics(run_id)
            wanted = [one for one in metrics if name in ("", one.name)]
            parts = list(reversed(store.list_runs(study_id=run_id, limit=_PARTS))) if found.kind == "study" else []
            return {
                "run": found, "metrics": wanted[skip : skip + _FIGURES], "of": len(wanted), "skip": skip, "name": name,
                "names": run_view.names_of(metrics), "maps": run_view.heat_maps(metrics, visit.lang), "parts": parts,
                "counts": store.sample_counts(run_id),
                "suites": answers.suites(run_id) if found.kind == EVAL else {},
            }  # fmt: skip

        values = await asyncio.to_thread(read)
        return web.page(
            request, visit, "run.html", **values, page_size=_FIGURES, tabs=run_tabs(RUNS), view=run_view,
            took=run_view.took,
        )  # fmt: skip

    @router.get("/runs/{run_id}/samples")
    async def samples(
        request: Request, run_id: str, stage: str | None = None, skip: Annotated[int, Query(ge=0)] = 0
    ) -> Response:
        visit, _ = await reader(web, request)

        def read() -> dict[str, Any]:
            found = store.samples(run_id, stage=stage, skip=skip, limit=_A_PAGE + 1)
            return {"run": run_of(store, run_id), "samples": found[:_A_PAGE], "more": len(found) > _A_PAGE}

        values = await asyncio.to_thread(read)
        return web.page(
            request, visit, "run_samples.html", **values, stage=stage, skip=skip, page_size=_A_PAGE,
            tabs=run_tabs(RUNS), view=run_view,
        )  # fmt: skip

    @router.get("/runs/{run_id}/samples/{place}")
    async def sample(request: Request, run_id: str, place: int, stage: str | None = None) -> Response:
        """One sample whole: the one at that place of the run (of its stage, where given), in the order kept."""
        visit, _ = await reader(web, request)

        def read() -> dict[str, Any]:
            found = store.samples(run_id, stage=stage, skip=max(0, place), limit=1)
            if not found:
                raise RunNotFound(f"The run has no sample {place}")
            return {"run": run_of(store, run_id), "sample": found[0]}

        values = await asyncio.to_thread(read)
        return web.page(request, visit, "run_sample.html", **values, place=place, tabs=run_tabs(RUNS), view=run_view)

    @router.get("/runs/{run_id}/answers")
    async def answered(
        request: Request, run_id: str, suite: str = "", wrong: bool = False, skip: Annotated[int, Query(ge=0)] = 0
    ) -> Response:
        visit, _ = await reader(web, request)

        def read() -> dict[str, Any]:
            found = run_of(store, run_id)
            page, of = answers.page(run_id, suite=suite or None, wrong=wrong, skip=skip, limit=_A_PAGE)
            suites, labels = answers.suites(run_id), labels_by_answer(answers.labels(run_id))
            return {"run": found, "answers": page, "of": of, "suites": suites, "labels": labels}

        values = await asyncio.to_thread(read)
        return web.page(
            request, visit, "run_answers.html", **values, suite=suite, wrong=wrong, skip=skip, page_size=_A_PAGE,
            tabs=run_tabs(RUNS), view=run_view,
        )  # fmt: skip

    @router.get("/runs/{run_id}/answers/{answer_id}")
    async def answer(request: Request, run_id: str, answer_id: int) -> Response:
        """One answer whole."""
        visit, _ = await reader(web, request)

        def read() -> dict[str, Any]:
            found = answers.get(answer_id)
            if found.run_id != run_id:
                raise RunNotFound(f"The run has no answer {answer_id}")
            mine = labels_by_answer(answers.labels(run_id)).get(answer_id, [])
            return {"run": run_of(store, run_id), "answer": found, "labels": mine}

        values = await asyncio.to_thread(read)
        return web.page(request, visit, "run_answer.html", **values, tabs=run_tabs(RUNS), view=run_view)

    return router


def _compare(store: Store, a_id: str, b_id: str, lang: str) -> dict[str, Any]:
    """Both runs, what differs beyond noise, and their heat maps; blocks, for some seconds where there is much."""
    a, b = run_of(store, a_id), run_of(store, b_id)
    metrics = {one.id: store.metrics(one.id) for one in (a, b)}
    found: Any = _paired(store, a, b)
    evals, maps = found is not None, []
    if evals:
        maps = run_view.side_by_side(metrics[a.id], metrics[b.id], lang)
    else:
        from inhouse.bench.compare import compare_runs

        found = compare_runs(store, a.id, b.id)
    return {
        "a": a, "b": b, "comparison": found, "evals": evals, "maps": maps,
        "grids": [
            (letter, one, run_view.heat_maps(_needles(metrics[one.id]), lang)) for letter, one in (("A", a), ("B", b))
        ],
    }  # fmt: skip


def _paired(store: Store, a: Run, b: Run) -> EvalComparison | None:
    """Two evaluations compared item by item; None where they are none, or have no item in common."""
    if not a.kind == EVAL == b.kind:
        return None
    from inhouse.quality.compare import compare_evals

    try:
        return compare_evals(store, a.id, b.id)
    except UsageError:
        return None


def _needles(metrics: Sequence[Metric]) -> list[Metric]:
    return [metric for metric in metrics if metric.name == "needle_found"]
