"""`inhouse agent facts`: what is remembered about a person across conversations."""

from __future__ import annotations

from typing import Annotated

import typer

from inhouse.cli.agent_session import AsJson, open_store, this_person
from inhouse.cli.output import note, print_json, print_table
from inhouse.core.errors import UsageError

app = typer.Typer(rich_markup_mode=None, help="What is remembered about you across conversations.")


@app.command("ls")
def facts_list(json: AsJson = False) -> None:
    """Show what is remembered about you."""
    from inhouse.agent.facts import Facts

    with open_store() as database:
        found = Facts(database).of(this_person())
    if json:
        print_json(found)
    else:
        rows = [(fact.id[:10], f"{fact.created_at:%Y-%m-%d}", fact.text) for fact in found]
        print_table(("id", "since", "fact"), rows)


@app.command("add")
def facts_add(text: Annotated[str, typer.Argument(help="What to remember.")]) -> None:
    """Remember something."""
    from inhouse.agent.facts import Facts

    with open_store() as database:
        Facts(database).add(this_person(), text)


@app.command("rm")
def facts_remove(
    fact: Annotated[str, typer.Argument(help="Its id, or the beginning of it.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Forget all that is remembered about you.")] = False,
) -> None:
    """Forget one thing, or all."""
    from inhouse.agent.facts import Facts

    if bool(fact) == everything:
        raise UsageError("Which fact?", do="Give its id, or --all")
    with open_store() as database:
        facts = Facts(database)
        if everything:
            note(f"forgot {facts.forget(this_person())} facts")
        else:
            facts.remove(this_person(), fact)
