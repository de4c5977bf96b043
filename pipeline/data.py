"""Tools for data: importing, making and checking manifests."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.data_hostile import hostile
from pipeline.data_import import import_data
from pipeline.data_make import app as make_app
from pipeline.stage import PARAMS_PATH, ParamsOption, WorkersOption

if TYPE_CHECKING:
    from cvg.config import ExtractParams
    from cvg.videos.check import Check, Sides

app = typer.Typer(help="Import, make and check data before any work.", no_args_is_help=True)

app.command("import")(import_data)
app.add_typer(make_app, name="make")
app.command("hostile")(hostile)

MAX_LINES = 50
MAX_KINDS = 6


@app.callback()
def data() -> None:
    """Import, make and check data before any work."""


@app.command()
def check(
    manifest: Annotated[
        str | None,
        typer.Argument(
            help="CSV or Parquet of videos, or a folder of videos; a path or a URL of fsspec.",
            show_default="extract.manifest of the parameters",
        ),
    ] = None,
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Write all of it to this file, for machines.")
    ] = None,
    workers: WorkersOption = None,
    params_path: ParamsOption = PARAMS_PATH,
) -> None:
    """Say which videos would be used, and why not the others; no frame is decoded.

    The exit status is 1 where extract would stop.
    """
    from cvg.files import write_json
    from cvg.params import load_params
    from cvg.remote.url import read_place
    from cvg.videos.check import check_manifest, describe, foresee_split
    from cvg.videos.pool import available_cores

    params = load_params(params_path).extract
    source = read_place(manifest or params.manifest)
    found = check_manifest(source, params, workers=workers or available_cores())
    if json_path is not None:
        write_json(json_path, describe(found, params))
    _print_videos(found)
    for line in _summary(found):
        typer.echo(line)
    _print_skips(found)
    typer.echo(found.sum_sentence())
    sides = foresee_split(found, params)
    typer.echo(
        f"held out: something of {sides.held_out} of {len(found.usable)} videos, "
        f"split by {found.rule}"
    )
    obstacles = list(_obstacles(found, sides, params))
    for obstacle in obstacles:
        typer.secho(f"extract would stop: {obstacle}", fg="yellow", err=True)
    raise typer.Exit(bool(obstacles))


def _print_videos(found: "Check") -> None:
    """Print one line a video, and what may be wrong with it."""
    typer.echo(f"{'size':>11} {'fps':>7} {'seconds':>8} {'frames':>7}  video")
    for video in found.usable[:MAX_LINES]:
        header = video.header
        typer.echo(
            f"{f'{header.width}x{header.height}':>11} {_number(header.fps, 2):>7} "
            f"{_number(header.duration_s, 2):>8} {_number(header.num_frames, 0):>7}  "
            f"{video.entry.name}"
        )
    _print_rest(len(found.usable), err=False)
    warnings = [
        f"row {video.entry.row}, {video.entry.name}: {text}"
        for video in found.usable
        for text in video.warnings
    ]
    for warning in warnings[:MAX_LINES]:
        typer.secho(f"warning: {warning}", fg="yellow", err=True)
    _print_rest(len(warnings), err=True)


def _summary(found: "Check") -> Iterator[str]:
    """Say in a few lines what the usable videos are, and what is known of them."""
    headers = [video.header for video in found.usable]
    if headers:
        seconds = sum(header.duration_s or 0 for header in headers)
        frames = sum(header.num_frames or 0 for header in headers)
        yield f"declared in all: {seconds:.1f} s, {frames} frames"
        yield f"sizes:      {_listed(found.sizes(), 'of ')}"
        yield f"frames/s:   {_spread([header.fps for header in headers])}"
        yield f"seconds:    {_spread([header.duration_s for header in headers])}"
        having = found.coverage()
        different = f" ({having['different_labels']} different)" if having["label"] else ""
        yield (
            f"conditions: {having['caption']} with a caption, {having['label']} with a label"
            f"{different}, {having['actions']} with actions, {having['map']} with a map"
        )
        if having["group"] or having["split"]:
            yield (
                f"split:      {having['split']} with a side of their own, {having['group']} in "
                f"{having['different_groups']} groups"
            )
    if found.ignored:
        yield f"not tried:  {_listed(found.ignored, '')}"


def _print_skips(found: "Check") -> None:
    """Print how often each reason is met, then the first skips."""
    for code, count in found.skip_counts().items():
        typer.echo(f"{count:>7} would be skipped: {code}", err=True)
    for skip in found.skips[:MAX_LINES]:
        typer.secho(f"would skip {skip.sentence()}", fg="yellow", err=True)
    _print_rest(len(found.skips), err=True)


def _obstacles(found: "Check", sides: "Sides", params: "ExtractParams") -> Iterator[str]:
    """Say why extract would stop, as far as headers tell."""
    from cvg.videos.split import advice

    if not found.usable:
        yield "no video can be used"
        return
    if len(found.skips) > params.max_skipped * found.found:
        yield (
            f"{len(found.skips)} of {found.found} videos cannot be used, more than "
            f"extract.max_skipped = {params.max_skipped:g} of them"
        )
    entries = [video.entry for video in found.usable]
    if sides.train == 0:
        yield f"nothing would be for training: {advice(entries, found.rule, 'train')}"
    if sides.held_out == 0:
        yield f"nothing would be held out: {advice(entries, found.rule, 'held_out')}"


def _print_rest(count: int, *, err: bool) -> None:
    if count > MAX_LINES:
        typer.echo(f"... and {count - MAX_LINES} more", err=err)


def _listed(counts: Mapping[str, int], link: str) -> str:
    listed = sorted(counts.items(), key=lambda item: -item[1])
    parts = [f"{count} {link}{kind or 'without a suffix'}" for kind, count in listed[:MAX_KINDS]]
    rest = sum(count for _, count in listed[MAX_KINDS:])
    return ", ".join([*parts, *([f"{rest} others"] if rest else [])])


def _spread(values: list[float | None]) -> str:
    from cvg.videos.check import spread

    found = spread(values)
    if found is None:
        return "not declared"
    unknown = f", {found.unknown} not declared" if found.unknown else ""
    return f"{found.smallest:g} to {found.largest:g}, median {found.median:g}{unknown}"


def _number(value: float | None, digits: int) -> str:
    return "?" if value is None else f"{value:.{digits}f}"
