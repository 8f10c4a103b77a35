"""`inhouse ask`: one question, a streamed answer, one line of metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from inhouse.cli.answer import MaxTokens, Seed, Temperature, TopP, metrics_line, stream_answer
from inhouse.cli.engine import ENGINE_HELP, MODEL_HELP, OpenEngine, open_for
from inhouse.cli.main import run_async
from inhouse.cli.output import note, print_json
from inhouse.cli.prompt import read_prompt, read_text_file
from inhouse.core.errors import UsageError
from inhouse.core.records import RunStatus, Sample
from inhouse.engines.base import ChatRequest, Message

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def ask(
    prompt: Annotated[str, typer.Argument(help="The question; - reads it from stdin.")],
    engine: Annotated[str | None, typer.Option(help=ENGINE_HELP)] = None,
    model: Annotated[str | None, typer.Option(help=MODEL_HELP)] = None,
    system: Annotated[str | None, typer.Option(help="System prompt.")] = None,
    schema: Annotated[Path | None, typer.Option(help="JSON schema file: the answer is JSON of that form.")] = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    top_p: TopP = None,
    seed: Seed = None,
    context: Annotated[int | None, typer.Option(help="Context window in tokens.", min=64)] = None,
    keep: Annotated[bool, typer.Option(help="Keep question, answer and figures in the store.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print answer and figures as one JSON document.")] = False,
) -> None:
    """Ask a model one question; the answer streams to stdout, its figures follow on stderr.

    \b
    inhouse ask "Why is the sky blue?"
    inhouse ask --engine ollama --model llama2:7b "Summarise RFC 9110 in three lines"
    cat minutes.txt | inhouse ask - --system "Summarise in Korean"
    inhouse ask "Name three colours" --schema colours.json --json
    """
    text = read_prompt(prompt)
    request = ChatRequest(
        model="",
        messages=((Message("system", system),) if system else ()) + (Message("user", text),),
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        json_schema=_read_schema(schema) if schema else None,
        context=context,
    )
    run_async(_ask(request, engine, model, context, keep=keep, as_json=json))


async def _ask(
    request: ChatRequest, engine: str | None, model: str | None, context: int | None, *, keep: bool, as_json: bool
) -> None:
    from dataclasses import replace

    async with open_for(engine, model, context=context, slots=1) as opened:
        request = replace(request, model=opened.model)
        sample = await stream_answer(opened.engine, request, quiet=as_json)
        line = await metrics_line(opened.engine, opened.model, sample)
        run_id = _keep(opened, request, sample) if keep else None
    if as_json:
        print_json(
            {
                "run": run_id,
                "engine": opened.engine.name,
                "model": opened.model,
                "answer": sample.answer,
                "finish_reason": sample.finish_reason,
                "ttft_s": sample.ttft_s,
                "tpot_s": sample.tpot_s,
                "e2e_s": sample.e2e_s,
                "prompt_tokens": sample.prompt_tokens,
                "completion_tokens": sample.completion_tokens,
                "cached_tokens": sample.cached_tokens,
                "engine_timings": sample.engine_timings,
            }
        )
    else:
        note(line)


def _keep(opened: OpenEngine, request: ChatRequest, sample: Sample) -> str:
    from inhouse.store.repository import Store

    config = {
        "system": next((m.content for m in request.messages if m.role == "system"), None),
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "seed": request.seed,
    }
    with Store(opened.settings.database_url) as store:
        run = store.create_run(
            "ask",
            config,
            seed=request.seed or 0,
            environment=opened.environment,
            model=opened.model,
            engine=opened.engine.name,
        )
        store.add_samples(run.id, [sample])
        store.finish_run(run.id, RunStatus.DONE)
    return run.id


def _read_schema(path: Path) -> dict[str, Any]:
    try:
        schema = orjson.loads(read_text_file(path))
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{path} is not JSON", why=str(error)) from None
    if not isinstance(schema, dict):
        raise UsageError(f"{path} holds no JSON schema", why="a schema is a JSON object")
    return schema
