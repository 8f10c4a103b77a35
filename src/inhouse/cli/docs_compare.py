"""`inhouse docs eval --compare`: the same documents cut, searched and kept in several ways, as a table and a chart."""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from inhouse.cli.output import note, print_json, print_table, progress
from inhouse.core.environment import read_environment
from inhouse.core.errors import InhouseError, UsageError
from inhouse.core.settings import get_settings
from inhouse.core.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from inhouse.docs.compare import Standing
    from inhouse.docs.questions import Question
    from inhouse.docs.search import Searcher


@dataclass(frozen=True, slots=True)
class Compared:
    """The ways and the stores, best first; `failed` says why a store could not be tried."""

    ways: list[Standing]
    stores: list[Standing]
    failed: dict[str, str]


def compare_ways(
    asked: list[Question], searcher: Searcher, *, strategies: str, sizes: str, ks: str, modes: str, stores: str,
    chart: Path | None, seed: int, json: bool, collection: str = "default",
) -> None:  # fmt: skip
    """Compares, keeps the figures as a run, and prints them, the best way first."""
    from inhouse.bench.keeping import ending
    from inhouse.docs.compare_chart import chart as draw
    from inhouse.docs.evaluate import KIND
    from inhouse.store.repository import Store

    cuts = [(strategy, size) for strategy in _words(strategies) for size in _numbers(sizes)]
    numbers = _numbers(ks)
    found = _tried(asked, searcher, cuts, _words(modes), numbers, _stores(stores), seed)
    every = [one.tried for one in (*found.ways, *found.stores)]
    with Store(get_settings().database_url) as store:
        labels = [one.way.labels for one in every]
        config = {"collection": collection, "compare": labels, "questions": len(asked), "failed": found.failed}
        run = store.create_run(KIND, config, seed=seed, environment=read_environment())
        with ending(store, run):
            store.set_metrics(run.id, [metric for one in every for metric in one.metrics])
    if chart is not None:
        drawn = draw(found.ways, "mrr", "Mean reciprocal rank, and what it costs", found.stores)
        chart.write_text(drawn, encoding="utf-8")
    if json:
        best = found.ways[0].tried.way.labels
        ways, kept = ([_row(one) for one in part] for part in (found.ways, found.stores))
        print_json({"run": run.id, "best": best, "ways": ways, "stores": kept, "stores_failed": found.failed})
        return
    figure = f"recall_{max(cut for cut in (1, 3, 5, 10) if cut <= max(numbers))}"
    _print_ways(found.ways, figure)
    _print_stores(found, figure)
    note(f"kept as {run.id[:10]}")


def _tried(
    asked: list[Question], searcher: Searcher, cuts: list[tuple[str, int]], modes: list[str], ks: list[int],
    stores: list[str], seed: int,
) -> Compared:  # fmt: skip
    from inhouse.docs.chunk import ChunkPlan
    from inhouse.docs.compare import compare, open_way, ranked
    from inhouse.docs.compare_stores import try_store
    from inhouse.docs.sources import sources_of

    sources = sources_of(searcher.store)
    if not sources:
        raise UsageError("The collection follows no folder to be cut anew", do="Add one: inhouse docs add PATH")
    kept = searcher.store.settings().get("plan")
    usual = ChunkPlan(**kept) if kept else ChunkPlan()
    plans = [
        replace(usual, strategy=strategy, size=size, overlap=min(usual.overlap, size // 4))  # type: ignore[arg-type]
        for strategy, size in cuts
    ]
    with tempfile.TemporaryDirectory(prefix="inhouse-compare-") as name, progress() as bar:
        folder = Path(name)
        task = bar.add_task("comparing", total=None, detail="")
        ways = ranked(
            list(
                compare(
                    asked, sources, searcher.embedder, plans=plans, modes=modes, ks=ks,  # type: ignore[arg-type]
                    folder=folder, seed=seed, on_progress=lambda what: bar.update(task, detail=what),
                )
            ),
            seed=seed,
        )  # fmt: skip
        # Search by words alone is the same in every store that has a catalogue: it tells nothing of them.
        best = next((one.tried.way for one in ways if one.tried.way.mode != "sparse"), ways[0].tried.way)
        in_stores, failed = [], {}
        with closing(open_way(folder, plans.index(best.plan))) as source:
            for url in stores:
                bar.update(task, detail=url)
                try:
                    in_stores.append(
                        try_store(asked, source, searcher.embedder, best, url, folder=folder, seed=seed)
                    )  # fmt: skip
                except InhouseError as error:
                    failed[url] = str(error)
    # Where they find the same, as exact ones do, the fastest is the best.
    in_stores.sort(key=lambda one: one.value("search_s"))
    return Compared(ways, ranked(in_stores, seed=seed) if in_stores else [], failed)


def _row(one: Standing) -> dict[str, object]:
    return {**one.tried.way.labels, "metrics": one.tried.metrics, "behind": one.behind, "worse": one.worse}


def _print_ways(ways: list[Standing], figure: str) -> None:
    print_table(
        ("Way", figure, "MRR", "behind the best", "tokens given", "search p50", "chunks", "index"),
        [
            (
                one.tried.way.name, *_found(one, figure), f"{one.tried.value('context_tokens'):.0f}",
                format_seconds(one.tried.value("search_s")), one.tried.chunks,
                f"{format_seconds(one.tried.index_s)}, {_size(one)}",
            )
            for one in ways
        ],
    )  # fmt: skip
    note("* worse than the best by more than chance (paired by question, Holm over all ways)")
    best = ways[0].tried
    note(
        f"best: {best.way.name}; it gives the model {best.value('context_tokens'):.0f} tokens a question and took "
        f"{format_seconds(best.index_s)} to index"
    )


def _print_stores(found: Compared, figure: str) -> None:
    if found.stores:
        print_table(
            ("Store", figure, "MRR", "behind the best", "dense search", "search p50", "added in", "size"),
            [
                (
                    one.tried.way.store, *_found(one, figure), "exact" if one.tried.value("exact") else "approximate",
                    format_seconds(one.tried.value("search_s")), format_seconds(one.tried.index_s), _size(one),
                )
                for one in found.stores
            ],
        )  # fmt: skip
        way = found.stores[0].tried.way.name
        note(f"each store held a copy of the same chunks, searched as {way}; nothing was embedded for it")
    for url, why in found.failed.items():
        note(f"{url} could not be tried: {why}")


def _found(one: Standing, figure: str) -> tuple[str, str, str]:
    behind = "best" if one.behind is None else f"{one.behind.value:+.3f}" + (" *" if one.worse else "")
    return f"{one.tried.value(figure):.3f}", f"{one.tried.value('mrr'):.3f}", behind


def _size(one: Standing) -> str:
    return "not told" if one.tried.index_bytes is None else format_bytes(one.tried.index_bytes)


def _stores(text: str) -> list[str]:
    """The stores named, `installed` for those that need no server, `none` for none."""
    from inhouse.docs.compare_stores import installed_stores

    named: list[str] = []
    for word in _words(text):
        named += installed_stores() if word == "installed" else [] if word == "none" else [word]
    return list(dict.fromkeys(named))


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _numbers(text: str) -> list[int]:
    words = _words(text)
    if not words or not all(word.isdecimal() and int(word) > 0 for word in words):
        raise UsageError(f"{text!r} is no list of numbers", do="Write them with commas: 128,256")
    return [int(word) for word in words]
