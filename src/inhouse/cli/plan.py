"""`inhouse plan`: from what was measured to machines and money. Each command has a module of its own."""

from __future__ import annotations

import typer

from inhouse.cli.plan_capacity import capacity
from inhouse.cli.plan_cost import cost

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    help="""Say how many machines a demand takes, and what they cost.

    Demand and prices stand in one file of assumptions that you edit; every output says what was measured and what
    was assumed.
    """,
)


@app.callback()
def _group() -> None:
    pass


app.command("capacity")(capacity)
app.command("cost")(cost)
