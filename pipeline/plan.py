"""Tool: what a run would cost, before it is begun."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.options import finite
from pipeline.stage import PARAMS_PATH, ParamsOption

if TYPE_CHECKING:
    from rich.table import Table

    from cvg.config import Params
    from cvg.planning.measure import Rates
    from cvg.planning.plan import StagePlan
    from cvg.planning.sampling import SamplingCost
    from cvg.planning.storage import Storage

GB, TERA, DAY = 1e9, 1e12, 24 * 3600


def plan(
    preset: Annotated[
        str | None, typer.Option(help="Name of a preset to begin with, as in presets/.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Replace one value, as in --set transformer.top.layers=24. Repeatable.",
            rich_help_panel="Parameters",
        ),
    ] = None,
    params_path: ParamsOption = PARAMS_PATH,
    devices: Annotated[int, typer.Option(help="How many train together.", min=1)] = 1,
    memory_gb: Annotated[
        float, typer.Option(help="Memory of a device, GB.", min=0.1, callback=finite)
    ] = 80.0,
    tflops: Annotated[
        float,
        typer.Option(
            help="What a device reaches in training, 10^12 operations a second; a third of what "
            "its maker states for dense products is a fair guess.",
            min=0.001,
            callback=finite,
        ),
    ] = 100.0,
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Time this machine instead, about a minute; not --tflops."),
    ] = False,
    precision: Annotated[
        Literal["bf16", "fp32"], typer.Option(help="Of training, as CVG_PRECISION.")
    ] = "bf16",
    hours: Annotated[
        float, typer.Option(help="Of video, to be stored.", min=0.0, callback=finite)
    ] = 100.0,
    words: Annotated[
        int, typer.Option(help="Distinct words and classes of the captions.", min=0)
    ] = 10_000,
) -> None:
    """Say what a run would cost: parameters, memory, time, disk, and what will not fit.

    Nothing is allocated; docs/plan.md has the arithmetic.
    """
    import torch
    from rich.console import Console

    from cvg.planning.measure import measure as measure_rates
    from cvg.planning.networks import Networks
    from cvg.planning.plan import advice, plan_stages
    from cvg.planning.sampling import sampling_cost
    from cvg.planning.storage import storage_of
    from cvg.training.runtime import Runtime, chosen_runtime
    from cvg.vqgan.tokenize import code_grids

    params = _load(params_path, preset, overrides or ())
    runtime = Runtime(device=torch.device("cpu"), precision=precision)
    networks = Networks(params=params, runtime=runtime, words=words)
    stages = plan_stages(networks, devices=devices)
    rates = None
    if measure:
        rates = measure_rates(Networks(params=params, runtime=chosen_runtime(), words=words))
    storage = storage_of(params.extract, code_grids(networks.vqgan_shape), hours=hours)
    sampling = sampling_cost(networks)
    console = Console()
    console.print(_networks(stages))
    console.print(_times(stages, tflops * TERA, rates))
    console.print(_memory(stages, memory_gb * GB))
    console.print(_data(storage, hours))
    console.print(_sampling(sampling, storage.fps))
    for sentence in _sentences(stages, storage, sampling, tflops * TERA, rates):
        console.print(sentence, highlight=False)
    for stage in stages:
        for sentence in advice(stage, memory_gb * GB):
            console.print(sentence, highlight=False, style="yellow")


def _load(path: Path, preset: str | None, overrides: Sequence[str]) -> "Params":
    from cvg.params import load_params
    from pipeline.preset import as_overrides, read_preset

    values = read_preset(preset, path) if preset else ()
    return load_params(path, [*as_overrides(dict(values)), *overrides])


def _networks(stages: Sequence["StagePlan"]) -> "Table":
    table = _table("Networks: trained numbers, millions", ("", "all", "parts"))
    for stage in stages:
        parts = stage.cost.parameters
        told = ", ".join(f"{name} {_millions(count)}" for name, count in parts.items() if count)
        table.add_row(_short(stage), _millions(stage.parameters), told)
    return table


def _times(stages: Sequence["StagePlan"], rate: float, rates: "Rates | None") -> "Table":
    """Show operations and days."""
    table = _table(
        "A step on one device, 10^12 operations; days of all steps",
        ("", "batch", "batches a step", "forward", "backward", "update", "steps", "days"),
    )
    for stage in stages:
        cost = stage.cost
        table.add_row(
            _short(stage),
            f"{stage.devices} x {stage.rows}",
            str(stage.params.accumulate),
            *(f"{value / TERA:.3g}" for value in (cost.forward, cost.backward, cost.update)),
            f"{stage.params.steps:,}",
            f"{_seconds(stage, rate, rates) / DAY:.3g}",
        )
    return table


def _memory(stages: Sequence["StagePlan"], memory: float) -> "Table":
    from cvg.planning.memory import USABLE

    table = _table(
        f"Memory of a device, GB; {USABLE:.0%} of {memory / GB:g} may be used",
        ("", "weights", "gradients", "moments", "copies", "activations", "all"),
    )
    for stage in stages:
        for strategy, need in stage.memory.items():
            parts = (need.weights, need.gradients, need.optimizer, need.copies, need.activations)
            fits = need.total <= USABLE * memory
            table.add_row(
                f"{_short(stage)} {strategy}" if stage.devices > 1 else _short(stage),
                *(f"{part / GB:.2f}" for part in parts),
                f"{need.total / GB:.2f}" + ("" if fits else ": NO"),
            )
    return table


def _data(storage: "Storage", hours: float) -> "Table":
    table = _table(
        f"Disk for {hours:g} hours of video, {storage.fps:g} frames a second, GB",
        ("", "bytes a frame", "GB"),
    )
    codes = " + ".join(f"{count} {level}" for level, count in storage.codes.items())
    for name, size in (("frames", storage.frame_bytes), (f"codes: {codes}", storage.code_bytes)):
        table.add_row(name, f"{size:,}", f"{size * storage.frames / GB:.4g}")
    return table


def _sampling(cost: "SamplingCost", fps: float) -> "Table":
    table = _table(
        f"Writing one second of video ({fps:g} frames), one video at a time",
        ("", "codes", "passes", "10^12 operations", "GB read", "MB read a pass"),
    )
    for level in cost.levels:
        table.add_row(
            level.level,
            f"{fps * level.codes:.0f}",
            f"{fps * level.passes:.0f}",
            f"{fps * level.operations / TERA:.4g}",
            f"{fps * level.passes * level.read / GB:.4g}",
            f"{level.read / 1e6:.4g}",
        )
    table.add_row("decoder", "", f"{fps:.0f}", f"{fps * cost.decode / TERA:.4g}", "", "")
    return table


def _sentences(
    stages: Sequence["StagePlan"],
    storage: "Storage",
    sampling: "SamplingCost",
    rate: float,
    rates: "Rates | None",
) -> Iterator[str]:
    """Say in words what the tables add up to."""
    from cvg.planning.memory import checkpoint_bytes

    transformers = sum(one.parameters for one in stages if "transformer" in one.name)
    days = sum(_seconds(one, rate, rates) for one in stages) / DAY
    per_frame = sum(storage.codes.values())
    yield (
        f"{_millions(transformers)} M numbers in transformers; {per_frame} codes a frame, one for "
        f"{storage.frame_bytes / 3 / per_frame:.0f} pixels."
    )
    if rates is None:
        yield (
            f"{days:.3g} days for all that trains, one after the other, at {rate / TERA:g} TFLOP/s "
            "a device (--tflops)."
        )
    else:
        yield (
            f"{days:.3g} days for all that trains, one after the other, at the measured rates: a "
            f"large product reaches "
            f"{rates.product / TERA:.3g} TFLOP/s here, "
            + ", ".join(
                f"{name} {one / rates.product:.0%} of it" for name, one in rates.steps.items()
            )
            + "."
        )
    largest = max(checkpoint_bytes(one.cost) for one in stages)
    yield (
        f"The largest checkpoint has {largest / GB:.2g} GB; two are kept. While one is written, "
        "the first process has it in main memory, with fsdp2 twice."
    )
    encode = storage.frames * sampling.encode / (rate if rates is None else rates.product)
    yield f"Tokenizing takes {encode / 3600:.2g} hours more, on one device."


def _seconds(stage: "StagePlan", rate: float, rates: "Rates | None") -> float:
    if rates is None:
        return stage.seconds(rate, product=rate)
    return stage.seconds(rates.steps[stage.name], product=rates.product)


def _table(title: str, headings: Sequence[str]) -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for heading in headings:
        is_text = heading in ("", "parts")
        table.add_column(
            heading,
            justify="left" if is_text else "right",
            no_wrap=heading == "",
            overflow="fold",
        )
    return table


def _short(stage: "StagePlan") -> str:
    """Name what is trained: vqgan, critic, or the level of a transformer."""
    return stage.section.rpartition(".")[2]


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f}"
