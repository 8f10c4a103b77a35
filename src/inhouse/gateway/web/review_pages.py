"""The pages on which people judge an evaluation's answers, one at a time and without seeing the scorers' verdicts.

Draws the same answers as `inhouse eval review` with the same seed, so that both ways overlap.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from inhouse.core.errors import InvalidRequest
from inhouse.core.records import Run
from inhouse.gateway.identity import Caller
from inhouse.gateway.web import run_view
from inhouse.gateway.web.run_pages import EVAL, RUNS, reader, run_of, run_tabs
from inhouse.gateway.web.visit import form_of
from inhouse.gateway.web.web import Web, page_router
from inhouse.quality.answers import Answer, Answers, Label
from inhouse.quality.review import VERDICTS, to_review, trust
from inhouse.store.repository import Store

_LISTED = 50
_NOTE_LETTERS = 2000
_Limit = Annotated[int, Query(ge=1, le=1000)]


@dataclass(frozen=True, slots=True)
class Queue:
    """What a person has to judge: the answers in order, and those of them that are done already."""

    answers: tuple[Answer, ...]
    mine: dict[int, Label]

    def next(self, *, after: int = 0) -> Answer | None:
        """The first that waits and stands after the answer of that number, else the first that waits."""
        places = {one.id: place for place, one in enumerate(self.answers)}
        begin = places.get(after, -1) + 1
        order = (*self.answers[begin:], *self.answers[:begin])
        return next((one for one in order if one.id not in self.mine), None)


def person_of(caller: Caller) -> str:
    """Under which name a key's verdicts are kept."""
    return caller.name if caller.key_id == "local" else f"{caller.name} ({caller.key_id[:10]})"


def review_pages(web: Web) -> APIRouter:
    """/ui/runs/review and /ui/runs/{run}/review."""
    router = page_router()
    store = Store.over(web.gateway.database)
    answers = Answers(web.gateway.database)

    def queue(run_id: str, suite: str, limit: int, seed: int, person: str) -> Queue:
        drawn = to_review(answers.of_run(run_id, suite=suite or None), seed=seed, limit=limit)
        mine = {label.answer_id: label for label in answers.labels(run_id) if label.person == person}
        return Queue(tuple(drawn), mine)

    def people(run_id: str) -> list[str]:
        return sorted({label.person for label in answers.labels(run_id)})

    @router.get("/runs/review")
    async def listed(request: Request) -> Response:
        """The evaluations with answers, and how many verdicts each has."""
        visit, _ = await reader(web, request)

        def read() -> list[tuple[Run, int, int]]:
            runs = store.list_runs(kind=EVAL, limit=_LISTED)
            counted = [(run, sum(answers.suites(run.id).values()), len(answers.labels(run.id))) for run in runs]
            return [one for one in counted if one[1]]

        return web.page(
            request, visit, "reviews.html", runs=await asyncio.to_thread(read), tabs=run_tabs(f"{RUNS}/review")
        )

    @router.get("/runs/{run_id}/review")
    async def shown(
        request: Request, run_id: str, suite: str = "", limit: _Limit = 20, seed: int = 0, answer: int = 0,
        after: int = 0,
    ) -> Response:  # fmt: skip
        visit, caller = await reader(web, request)

        def read() -> dict[str, Any]:
            run = run_of(store, run_id)
            found = queue(run_id, suite, limit, seed, person_of(caller))
            at = next((one for one in found.answers if one.id == answer), None) or found.next(after=after)
            done = [one for one in found.answers if one.id in found.mine]
            return {
                "run": run, "at": at, "queue": found, "done": done, "suites": answers.suites(run_id),
                "people": people(run_id),
            }  # fmt: skip

        values = await asyncio.to_thread(read)
        chosen = {"suite": suite, "limit": limit, "seed": seed}
        return web.page(
            request, visit, "review.html", **values, chosen=chosen, query=urlencode(chosen),
            tabs=run_tabs(f"{RUNS}/review"),
            view=run_view,
        )  # fmt: skip

    @router.get("/runs/{run_id}/review/trust")
    async def agreement(request: Request, run_id: str, suite: str = "") -> Response:
        """How far people and scorers agree; apart from the page, since the intervals take a moment."""
        visit, _ = await reader(web, request)

        def read() -> dict[str, Any]:
            kept = answers.of_run(run_id, suite=suite or None)
            return {"trust": trust(kept, answers.labels(run_id)), "people": people(run_id)}

        return web.page(request, visit, "review_trust.html", **await asyncio.to_thread(read))

    @router.post("/runs/{run_id}/review")
    async def judged(request: Request, run_id: str, suite: str = "", limit: _Limit = 20, seed: int = 0) -> Response:
        """Keeps a verdict (or none, where it is skipped) and goes on to the next answer."""
        _, caller = await reader(web, request)
        form = await form_of(request)
        number, verdict = form.get("answer", ""), form.get("verdict", "")
        if not number.isdecimal() or verdict not in (*VERDICTS, "s"):
            raise InvalidRequest("That is no verdict", do="Choose right, wrong or half")

        def keep() -> None:
            if answers.get(int(number)).run_id != run_id:
                raise InvalidRequest("The answer belongs to another run")
            note = form.get("note", "").strip()[:_NOTE_LETTERS]
            answers.label(Label(int(number), person_of(caller), VERDICTS[verdict], note))

        if verdict != "s":
            await asyncio.to_thread(keep)
        query = urlencode({"suite": suite, "limit": limit, "seed": seed, "after": number})
        return RedirectResponse(f"{RUNS}/{run_id}/review?{query}", 303)

    return router
