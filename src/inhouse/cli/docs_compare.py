"""`inhouse docs eval --compare`: the same documents cut, searched and kept in several ways, as a table and a chart."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from inhouse.cli.output import note, print_json, print_table, progress
from inhouse.core.environment import read_environment
from inhouse.core.errors import UsageError
from inhouse.core.settings import get_settings
from inhouse.core.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from inhouse.docs.questions import Question
    from inhouse.docs.search import Searcher


def compare_ways(
    asked: list[Question], searcher: Searcher, strategies: str, sizes: str, ks: str, modes: str, chart: Path | None,
    seed: int, *, json: bool,
) -> None:  # fmt: skip
    """Compares, keeps the figures as a run, and prints them, the best way first."""
    from inhouse.docs.chunk import ChunkPlan
    from inhouse.docs.compare import compare, ranked
    from inhouse.docs.compare_chart import chart as draw
    from inhouse.docs.evaluate import KIND
    from inhouse.docs.sources import sources_of
    from inhouse.store.repository import Store

    sources = sources_of(searcher.store)
    if not sources:
        raise UsageError("The collection follows no folder to be cut anew", do="Add one: inhouse docs add PATH")
    kept = searcher.store.settings().get("plan")
    usual = ChunkPlan(**kept) if kept else ChunkPlan()
    plans = [
        replace(usual, strategy=strategy, size=size, overlap=min(usual.overlap, size // 4))  # type: ignore[arg-type]
        for strategy in _words(strategies) for size in _numbers(sizes)
    ]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="inhouse-compare-") as folder, progress() as bar:
        task = bar.add_task("comparing", total=None, detail="")
        tried = list(
            compare(
                asked, sources, searcher.embedder, plans=plans, modes=_words(modes), ks=_numbers(ks),  # type: ignore[arg-type]
                folder=Path(folder), seed=seed, on_progress=lambda what: bar.update(task, detail=what),
            )
        )  # fmt: skip
    standings = ranked(tried, seed=seed)
    with Store(get_settings().database_url) as store:
        config = {"compare": [one.way.labels for one in tried], "questions": len(asked)}
        from inhouse.bench.keeping import ending

        run = store.create_run(KIND, config, seed=seed, environment=read_environment())
        with ending(store, run):
            store.set_metrics(run.id, [metric for one in tried for metric in one.metrics])
    figure = f"recall_{max(cut for cut in (1, 3, 5, 10) if cut <= max(_numbers(ks)))}"
    if chart is not None:
        chart.write_text(draw(standings, "mrr", "Mean reciprocal rank, and what it costs"), encoding="utf-8")
    if json:
        rows = [
            {**one.tried.way.labels, "metrics": one.tried.metrics, "behind": one.behind, "worse": one.worse}
            for one in standings
        ]
        print_json({"run": run.id, "best": standings[0].tried.way.labels, "ways": rows})
        return
    print_table(
        ("Way", figure, "MRR", "behind the best (95 %)", "tokens given", "search p50", "chunks", "index"),
        [
            (
                one.tried.way.name, f"{one.tried.value(figure):.3f}", f"{one.tried.value('mrr'):.3f}",
                "best" if one.behind is None else f"{one.behind.value:+.3f}" + (" *" if one.worse else ""),
                f"{one.tried.value('context_tokens'):.0f}", format_seconds(one.tried.value("search_s")),
                one.tried.chunks, f"{format_seconds(one.tried.index_s)}, {format_bytes(one.tried.index_bytes)}",
            )
            for one in standings
        ],
    )  # fmt: skip
    note("* worse than the best by more than chance (paired by question, Holm over all ways)")
    best = standings[0].tried
    note(
        f"best: {best.way.name}; it gives the model {best.value('context_tokens'):.0f} tokens a question and took "
        f"{format_seconds(best.index_s)} to index; kept as {run.id[:10]}"
    )


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _numbers(text: str) -> list[int]:
    words = _words(text)
    if not words or not all(word.isdecimal() and int(word) > 0 for word in words):
        raise UsageError(f"{text!r} is no list of numbers", do="Write them with commas: 128,256")
    return [int(word) for word in words]
