"""`inhouse doctor`: says what this machine is, which models fit it, and which engines run already."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated

import typer

from inhouse.cli.main import run_async
from inhouse.cli.output import note, print_json, print_table
from inhouse.core.environment import read_environment
from inhouse.core.errors import InhouseError
from inhouse.core.settings import get_settings
from inhouse.core.units import format_bytes
from inhouse.models.bandwidth import bandwidth
from inhouse.models.calibration import points_from
from inhouse.models.doctor import Doctor, ModelFit, examine
from inhouse.models.roofline import DecodePrediction
from inhouse.store.repository import Store

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure the memory bandwidth again.")] = False,
) -> None:
    """Say what this machine is, which models fit it with predicted speed, and which engines run here.

    The memory bandwidth is measured once and kept; speeds are predictions, calibrated on this machine's own
    bench runs where there are some.
    """
    settings = get_settings()
    measured = bandwidth(settings, fresh=fresh)
    points, failure = [], ""
    with ExitStack() as stack:
        try:
            store = stack.enter_context(Store(settings.database_url))
            points = points_from(store, settings, read_environment(), measured.bytes_s)
        except InhouseError as error:
            failure = str(error)
    found = run_async(examine(settings, points=points, store_failure=failure))
    if json:
        print_json(found)
    else:
        _print(found)


def _print(found: Doctor) -> None:
    machine = found.environment
    cores = f"{machine.cores} cores" + (f" of {machine.threads} threads" if machine.threads != machine.cores else "")
    rows = [
        ("CPU", f"{machine.cpu}, {cores}"),
        ("Instruction sets", " ".join(machine.instruction_sets) or "none that matter"),
        ("Memory", f"{format_bytes(machine.ram_bytes)}, {format_bytes(found.available_ram_bytes)} available"),
        ("Memory bandwidth", f"{format_bytes(found.bandwidth.bytes_s)}/s read, measured {found.bandwidth.measured_at}"),
        *(("GPU", f"{gpu.name}, {format_bytes(gpu.memory_bytes)}") for gpu in machine.gpus),
        *([] if machine.gpus else [("GPU", "none that NVML sees")]),
        ("Disk", f"{format_bytes(found.disk_free_bytes)} free for models in {found.cache_dir}"),
        ("Store", found.store if found.store_ok else f"cannot be used: {found.store_detail}"),
        ("System", f"{machine.os}, Python {machine.python}"),
    ]
    print_table(("This machine", ""), rows)
    print_table(
        ("Engine", "Address", "State"),
        [
            (
                engine.name,
                engine.url,
                f"running{f' {engine.version}' if engine.version else ''}: {', '.join(engine.models) or 'no models'}"
                if engine.running
                else "not running",
            )
            for engine in found.engines
        ],
    )
    gpu = any(model.gpu_decode for model in found.models)
    print_table(
        ("Model", "Pulled", "File", "Memory needed", "Fits", "tokens/s, predicted", *(["on the GPU"] if gpu else [])),
        [_model_row(model, gpu=gpu) for model in found.models],
    )
    if found.models:
        context = max(model.context for model in found.models)
        note(f"Memory with one slot of {context:,} tokens. Speed of one stream: {found.models[0].decode.method}.")


def _model_row(model: ModelFit, *, gpu: bool) -> tuple[str, ...]:
    fit = "yes" if model.fits_now else "not now" if model.fits else "no"
    row = (
        model.name,
        "yes" if model.pulled else "no",
        format_bytes(model.size_bytes),
        format_bytes(model.memory_bytes),
        fit,
        _speed(model.decode),
    )
    return (*row, _speed(model.gpu_decode) if model.gpu_decode else "–") if gpu else row


def _speed(prediction: DecodePrediction) -> str:
    return f"{prediction.tokens_s:.3g} ({prediction.low:.3g} to {prediction.high:.3g})"
