"""Entry point: finds the command, runs it, and turns every error into one clear line and an exit code.

Command modules are imported on use, so that `inhouse --help` answers at once.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
from collections.abc import Coroutine
from types import FrameType
from typing import Any, NoReturn, TypeVar

import typer
from typer.core import TyperGroup

from inhouse import __version__
from inhouse.core.errors import InhouseError

T = TypeVar("T")

# Each command or group: the module under inhouse.cli that holds its `app`, and its line in --help.
COMMANDS: dict[str, tuple[str, str]] = {
    "study": ("study", "Run the study on this machine and write report.html and notes/."),
    "ask": ("ask", "Ask a model one question; the answer streams."),
    "chat": ("chat", "Talk with a model; the conversation is kept."),
    "agent": ("agent", "Let a model work with tools; every step is kept, traced and replayed."),
    "models": ("models", "List, pull, verify and remove models."),
    "doctor": ("doctor", "Say what this machine is and which models fit it."),
    "bench": ("bench", "Measure latency, throughput, cold start and memory."),
    "eval": ("eval", "Judge a model's answers by suites, with error bars."),
    "serve": ("serve", "Serve models to others: OpenAI's and Ollama's APIs, with keys and a usage ledger."),
    "keys": ("keys", "Make, list, rotate and revoke the keys of the gateway."),
    "usage": ("usage", "Sum what was used by key, team, model and day."),
    "guard": ("guard", "Check texts for personal data, secrets and injections; set the gateway's thresholds."),
    "audit": ("audit", "List, verify and export what admins did and what the guard decided."),
    "bodies": ("bodies", "Show, export and remove kept prompts and answers."),
    "docs": ("docs", "Search your documents: add folders, keep them in step, ask."),
    "runs": ("runs", "List, show, compare, export and remove kept runs."),
    "plan": ("plan", "Say how many machines a demand takes, and what they cost."),
    "report": ("report", "Write the report of a study again, from the store."),
}


class LazyGroup(TyperGroup):
    """Resolves a command by importing its module; lists commands without importing any."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The commands in the order a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, with its module imported; None where there is none by that name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"inhouse.cli.{COMMANDS[cmd_name][0]}")
        command = typer.main.get_command(module.app)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes the list of commands from the table above."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


app = typer.Typer(
    name="inhouse",
    cls=LazyGroup,
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(
    help="""Run an LLM in-house, measure it, and report with evidence what it takes.

    \b
    Start here:
      inhouse doctor                 what fits this machine
      inhouse models pull smollm2:135m
      inhouse ask "Why is the sky blue?"
      inhouse study                  measure everything, write report.html

    Every table prints as JSON with --json. Settings are INHOUSE_… in the environment or in .env.
    """
)
def _root(
    version: bool = typer.Option(
        False, "--version", help="Print the version and exit.", is_eager=True, callback=lambda on: _version(on)
    ),
) -> None:
    pass


def _version(on: bool) -> None:
    if on:
        typer.echo(f"inhouse {__version__}")
        raise typer.Exit


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end; Ctrl-C or SIGTERM cancels it, lets it clean up, then ends the command."""
    import asyncio

    from inhouse.core.event_loop import run

    async def cancellable() -> T:
        task = asyncio.current_task()
        assert task is not None
        # Ctrl-C is asyncio's own to turn into a cancellation; an exception out of a signal handler would
        # break the loop in the middle of whatever it does.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await main

    try:
        return run(cancellable())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def main() -> NoReturn:
    """Runs the command line and exits the process."""
    # A terminating signal must clean up as Ctrl-C does: no worker process may be left behind.
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(_run())


def _run() -> int:
    from inhouse.cli.output import print_error

    try:
        result = typer.main.get_command(app).main(standalone_mode=False)
        sys.stdout.flush()
    except InhouseError as error:
        print_error(error)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("\nstopped\n")
        return 130
    except BrokenPipeError:
        # The reader has gone (`inhouse … | head`): nothing to say, and nothing may be flushed at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback reaches the user
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # a usage error found by the parser
            context = getattr(error, "ctx", None)
            sys.stderr.write(f"error: {error.format_message()}\n")
            if context is not None:
                sys.stderr.write(f"  See `{context.command_path} --help`\n")
            return int(error.exit_code)
        return _unexpected(error)
    return result if isinstance(result, int) else 0


def _unexpected(error: Exception) -> int:
    """A defect of ours: one line for the person, the details in a file that can be sent to us."""
    from inhouse.core.settings import get_settings

    if os.environ.get("INHOUSE_DEBUG"):
        traceback.print_exc()
        return 70
    path = get_settings().data_dir / "last-crash.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(traceback.format_exception(error)))
    except OSError:
        sys.stderr.write(f"error: unexpected {type(error).__name__}: {error}\n")
    else:
        sys.stderr.write(f"error: unexpected {type(error).__name__}: {error}\n  Details are in {path}\n")
    return 70  # EX_SOFTWARE


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
