"""`inhouse docs status` and `ls`: what a collection holds, follows, and could not read."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from inhouse.cli.output import note, print_json, print_table
from inhouse.core.units import format_bytes

Collection = Annotated[str, typer.Option("--collection", "-c", help="The collection.")]
StoreUrl = Annotated[
    str, typer.Option("--store", help="Where it is kept, as a URL; left out: SQLite in the data folder.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def status(
    verify: Annotated[
        bool, typer.Option("--verify", help="Check the search index to the last byte; a damaged one is built anew.")
    ] = False,
    collection: Collection = "default",
    store: StoreUrl = "",
    json: AsJson = False,
) -> None:
    """Show what the collection holds, which folders it follows, and what could not be read."""
    from inhouse.cli.docs_open import opened_store
    from inhouse.docs.sources import sources_of

    with opened_store(collection, store) as kept:
        whole = kept.verify() if verify else None
        settings, documents, counts = kept.settings(), kept.documents(), kept.count()
        failed = [
            {"source": place, "path": path, "reason": seen[4], "do": seen[5]}
            for place, files in settings.get("seen", {}).items()
            for path, seen in files.items()
            if len(seen) > 5
        ]
        sources: list[dict[str, Any]] = [
            {"place": source.place, "tags": source.tags, "rules": source.rules,
             "documents": sum(document.source == str(source.place) for document in documents)}
            for source in sources_of(kept)
        ]  # fmt: skip
    warnings = [{"path": doc.path, "warning": warning} for doc in documents for warning in doc.warnings]
    shown = {name: settings.get(name) for name in ("embedding", "terms", "plan", "weights")}
    if json:
        print_json({"collection": collection, "counts": counts, "settings": shown, "sources": sources,
                    "failed": failed, "warnings": warnings, "verified": whole})  # fmt: skip
        return
    cut = "{strategy}, {size} tokens".format(**(shown["plan"] or {"strategy": "structure", "size": 256}))
    print_table(
        ("Documents", "Chunks", "Embedding", "Terms", "Cut by"),
        [(counts.documents, counts.chunks, shown["embedding"], shown["terms"], cut)],
    )
    print_table(
        ("Source", "Documents", "Access tags"),
        [(row["place"], row["documents"], _tags_in_words(row["tags"], row["rules"])) for row in sources],
    )
    if whole is not None:
        note("the search index is whole" if whole else "the search index was damaged, and was built anew")
    for row in failed:
        typer.echo(f"not read: {row['path']}: {row['reason']}")
    for row in warnings:
        typer.echo(f"warning: {row['path']}: {row['warning']}")


def list_documents(collection: Collection = "default", store: StoreUrl = "", json: AsJson = False) -> None:
    """List the documents, with their sizes and access tags."""
    from inhouse.cli.docs_open import opened_store

    with opened_store(collection, store) as kept:
        documents = kept.documents()
    if json:
        print_json(documents)
        return
    print_table(
        ("Path", "Title", "Type", "Size", "Pages", "Access tags"),
        [(doc.path, doc.title, doc.media_type, format_bytes(doc.size_bytes), doc.pages, ", ".join(sorted(doc.tags)))
         for doc in documents],
    )  # fmt: skip


def _tags_in_words(tags: frozenset[str], rules: tuple[tuple[str, frozenset[str]], ...]) -> str:
    every = ", ".join(sorted(tags)) or "open to all"
    return "; ".join([every, *(f"{under}: {', '.join(sorted(those))}" for under, those in rules)])
