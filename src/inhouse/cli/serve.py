"""`inhouse serve`: the gateway before an engine, with OpenAI's and Ollama's APIs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inhouse.cli.engine import ENGINE_HELP, MODEL_HELP
from inhouse.cli.output import note
from inhouse.core.errors import MissingExtra
from inhouse.core.settings import get_settings

if TYPE_CHECKING:
    from inhouse.gateway.open import StudyPage

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def serve(
    model: Annotated[str | None, typer.Option("--model", "-m", help=MODEL_HELP)] = None,
    engine: Annotated[str | None, typer.Option("--engine", "-e", help=ENGINE_HELP)] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Processes that serve the port; over 1 needs a Redis.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file; see docs/gateway.md.")] = None,
) -> None:
    """Serve a model to others over OpenAI's and Ollama's APIs.

    \b
    inhouse serve --model smollm2:135m
    inhouse keys create alice && inhouse serve --host 0.0.0.0
    """
    from inhouse.gateway.processes import run_gateway
    from inhouse.gateway.settings import load_gateway_settings

    settings = get_settings()
    changed = {"engine": engine, "model": model}
    settings = settings.model_copy(update={name: value for name, value in changed.items() if value is not None})
    gateway_settings = load_gateway_settings(config, host=host, port=port, workers=workers)
    run_gateway(settings, gateway_settings, tell=note, report=_report())


def _report() -> StudyPage | None:
    """What makes the reports that the pages show; None where its packages are not installed."""
    try:
        from inhouse.report.served import study_page
    except MissingExtra:
        return None
    return study_page
