"""Phase 2, judge: what the study's model gets wrong. Wordings, invented things, years, consistency, Korean, bias, long
documents, instructions, safety, sampling, and questions on documents with the book closed and open.

Composes quality's measures; what follows from the figures is said in phase2_findings.py.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files

from inhouse.bench.keeping import ending
from inhouse.core.records import Metric
from inhouse.models.catalogue import find_entry
from inhouse.models.gguf import read_gguf
from inhouse.models.library import model_path
from inhouse.models.opened import OpenEngine, open_for
from inhouse.quality.figures import figures
from inhouse.quality.measures.base import Asking, in_turn, shuffled
from inhouse.quality.measures.bias import bias
from inhouse.quality.measures.consistency import consistency
from inhouse.quality.measures.detection import detection
from inhouse.quality.measures.formats import json_answers
from inhouse.quality.measures.honesty import invented, staleness
from inhouse.quality.measures.korean import skills, token_cost
from inhouse.quality.measures.needles import context_limit, haystack
from inhouse.quality.measures.sampling import QUICK, sweep
from inhouse.quality.measures.spread import wordings
from inhouse.quality.runner import RUN_KIND, costs
from inhouse.quality.session import Session
from inhouse.quality.suite import Suite
from inhouse.quality.suite_files import load_suites
from inhouse.study.base import Context, Part
from inhouse.study.book import book_metrics, book_suite

_WINDOW = 1024
_LONGEST_WINDOW = 8192
_SLOTS = 2
_SHORT_S = 5.0


@dataclass(frozen=True, slots=True)
class Desk:
    """What a part asks with: `asking` within its share of the budget, in the language `lang` of its questions."""

    context: Context
    opened: OpenEngine
    asking: Asking
    lang: str

    @property
    def short(self) -> bool:
        """Whether there is so little time that a part that asks much of each item asks less of it."""
        return self.context.seconds < _SHORT_S

    def suite(self, name: str) -> Suite:
        """A suite by its name, in the study's language where there is one of it."""
        return load_suites([name.replace("{lang}", self.lang)])[0]


Measure = Callable[[Desk], Awaitable[list[Metric]]]


def language_of(context: Context) -> str:
    """The study's language, or English where its model knows no Korean."""
    return "ko" if context.config.lang == "ko" and knows_korean(context) else "en"


def knows_korean(context: Context) -> bool:
    """Whether the catalogue says that the study's model knows Korean."""
    return "ko" in find_entry(context.config.model).languages


async def _wordings(desk: Desk) -> list[Metric]:
    return (await wordings(desk.asking, desk.suite("prompts_{lang}")))[0]


async def _honesty(desk: Desk) -> list[Metric]:
    found, _ = await invented(desk.asking.within(0.5), desk.suite("invented_{lang}"))
    more, _ = await staleness(desk.asking, desk.suite("staleness_{lang}"))
    return found + more


async def _detection(desk: Desk) -> list[Metric]:
    # Facts that small models get wrong often enough: what happened in a year.
    suite = desk.suite("staleness_{lang}")
    known = tuple(item for item in suite.items if item.tags["known"])
    simple = desk.suite("prompts_{lang}")
    mixed = simple.with_(items=(*shuffled(simple.items, 0)[:20], *shuffled(known, 0)[:60]))
    return (await detection(desk.asking, mixed, samples=3, costly=False))[0]


async def _consistency(desk: Desk) -> list[Metric]:
    suite = desk.suite("prompts_{lang}")
    if desk.short:
        return (await consistency(desk.asking, suite, temperatures=(0.0, 1.0), samples=2))[0]
    return (await consistency(desk.asking, suite))[0]


async def _korean(desk: Desk) -> list[Metric]:
    found = await token_cost(desk.asking)
    if not knows_korean(desk.context):
        return found
    names = ("comprehension", "knowledge", "spelling", "honorifics", "language")
    return found + (await skills(desk.asking, load_suites([f"korean_{name}" for name in names])))[0]


async def _bias(desk: Desk) -> list[Metric]:
    return (await bias(desk.asking, desk.suite("kobbq" if desk.lang == "ko" else "bbq")))[0]


async def _context(desk: Desk) -> list[Metric]:
    """Korean and English in turn, then several needles; beside them the window that the model's file names."""
    found: list[Metric] = []
    trained = read_gguf(model_path(desk.context.settings, desk.context.config.model)).context
    if trained:
        found.append(Metric("context_advertised", float(trained), "tokens", method="named in the model's file"))
    langs = ("ko", "en") if knows_korean(desk.context) else ("en",)
    for place, lang in enumerate(langs):
        share = 0.8 / (len(langs) - 0.2 * place)
        text = files("inhouse.bench").joinpath(f"texts/{lang}.txt").read_text(encoding="utf-8")
        hay = await haystack(desk.asking, lang, text)
        found += (await context_limit(desk.asking.within(share), hay, window=_LONGEST_WINDOW))[0]
    several = await context_limit(desk.asking, hay, window=_LONGEST_WINDOW, lengths=(512, 1024, 2048), needles=3)
    return found + several[0]


async def _instructions(desk: Desk) -> list[Metric]:
    suite = desk.suite("instructions_{lang}")
    answers = await desk.asking.within(0.5).suite(suite, in_turn(suite.items, "rule", desk.asking.seed), least=3)
    followed = [one for one in figures(suite, answers) if set(one.labels) == {"suite", "scorer"}]
    return followed + (await json_answers(desk.asking, desk.suite("json_{lang}")))[0]


async def _safety(desk: Desk) -> list[Metric]:
    suite = desk.suite("refusal_{lang}")
    answers = await desk.asking.within(0.6).suite(suite, in_turn(suite.items, "harmful", desk.asking.seed), least=2)
    found = figures(suite, answers)
    if desk.lang == "ko":
        pairs = desk.suite("square_pairs")
        lean = pairs.with_(scorers=pairs.scorers[:1])
        found += figures(
            lean, await desk.asking.suite(lean, in_turn(lean.items, "category", desk.asking.seed), least=3)
        )
    return found


async def _sampling(desk: Desk) -> list[Metric]:
    open_ = desk.suite("korean_language") if desk.lang == "ko" else desk.suite("refusal_en")
    if desk.lang == "en":
        open_ = open_.with_(items=tuple(one for one in open_.items if not one.tags["harmful"]))
    settings = QUICK[:3] if desk.short else QUICK
    return (await sweep(desk.asking, desk.suite("prompts_{lang}"), open_, settings=settings))[0]


async def _book(desk: Desk) -> list[Metric]:
    suite = book_suite(desk.context.config, desk.lang)
    answers = await desk.asking.suite(suite, suite.items, least=2)
    return book_metrics(answers)


def _part(name: str, what: str, share: float, measure: Measure, *, window: int = _WINDOW, slots: int = _SLOTS) -> Part:
    """A part of the phase: a run of kind "eval" whose answers are kept, made by the measure."""

    async def run(context: Context) -> str:
        begin = time.perf_counter()
        lang = language_of(context)
        async with _opened(context, window, slots) as opened:
            config = {"name": name, "suites": [], "language": lang}
            kept = context.store.create_run(
                RUN_KIND, config, seed=context.config.seed, environment=opened.environment,
                model=context.config.model, engine="embedded", study_id=context.study.id,
            )  # fmt: skip
            with ending(context.store, kept):
                session = Session(
                    opened.engine, context.store, kept, model=opened.model, concurrency=slots, fresh=True
                )  # fmt: skip

                def tell(_: float | None, detail: str) -> None:
                    """A part has several stretches, each with a fraction of its own: the time says how far it is."""
                    context.report(min(1.0, (time.perf_counter() - begin) / max(context.seconds, 1e-3)), detail)

                async with session:
                    asking = Asking(session, begin + 0.95 * context.seconds, tell, context.config.seed)
                    metrics = await measure(Desk(context, opened, asking, lang))
                context.store.set_metrics(kept.id, [*metrics, *costs(session, time.perf_counter() - begin)])
        return kept.id

    return Part(name, 2, what, share, run)


@asynccontextmanager
async def _opened(context: Context, window: int, slots: int) -> AsyncIterator[OpenEngine]:
    settings = context.settings.model_copy(update={"model": context.config.model})
    entry = find_entry(context.config.model)
    size = min(window, entry.context)
    async with open_for("embedded", context.config.model, context=size, slots=slots, settings=settings) as opened:
        await opened.engine.load(opened.model)
        yield opened


PHASE2: tuple[Part, ...] = (
    _part("wordings", "the same questions in eight wordings", 0.10, _wordings),
    _part("honesty", "invented things, years, and what nobody can know", 0.14, _honesty),
    _part("detection", "telling wrong answers without knowing the right ones", 0.10, _detection),
    _part("consistency", "the same question again, by temperature", 0.08, _consistency),
    _part("korean", "Korean: its skills, and what it costs", 0.12, _korean),
    _part("bias", "social bias, in ambiguous and plain contexts", 0.10, _bias),
    _part("long_documents", "facts hidden in long documents", 0.12, _context, window=_LONGEST_WINDOW, slots=1),
    _part("instructions", "instructions and JSON, with and without constraint", 0.08, _instructions),
    _part("safety", "refusing what is harmful, and only that", 0.06, _safety),
    _part("sampling", "temperature, top-p, top-k and repeat penalty", 0.05, _sampling),
    _part("book", "questions on documents, with the book closed and open", 0.05, _book),
)
