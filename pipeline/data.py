"""Tools for manifests."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.stage import PARAMS_PATH, ParamsOption

if TYPE_CHECKING:
    from cvg.videos.check import Check

app = typer.Typer(help="Look at a manifest of videos before any work.", no_args_is_help=True)

MAX_LINES = 50


@app.callback()
def data() -> None:
    """Look at a manifest of videos before any work."""


@app.command()
def check(
    manifest: Annotated[Path, typer.Argument(help="CSV of videos, or a folder of videos.")],
    params_path: ParamsOption = PARAMS_PATH,
) -> None:
    """Say which videos would be used, and why not the others; reads headers only."""
    from cvg.params import load_params
    from cvg.videos.check import check_manifest, count_held_out

    params = load_params(params_path).extract
    found = check_manifest(manifest, min_frames=params.min_frames, fps=params.fps)
    _print_table(found)
    for skip in found.skips[:MAX_LINES]:
        typer.secho(f"would skip {skip.sentence()}", fg="yellow", err=True)
    if len(found.skips) > MAX_LINES:
        typer.echo(f"... and {len(found.skips) - MAX_LINES} more", err=True)
    typer.echo(found.sum_sentence())
    if not found.usable:
        raise typer.Exit(1)
    held_out = count_held_out(found, params)
    typer.echo(f"held out: something of {held_out} of {len(found.usable)} videos")
    if held_out == 0:
        typer.secho(
            "nothing would be held out, and extract would stop: the videos are too short for "
            f"extract.min_frames = {params.min_frames} held-out frames each (extract.held_out = "
            f"{params.held_out:g}). Add longer videos, or set extract.split to video",
            fg="yellow",
            err=True,
        )
        raise typer.Exit(1)


def _print_table(found: "Check") -> None:
    """Print one line a video, then the totals."""
    typer.echo(f"{'size':>11} {'fps':>7} {'seconds':>8} {'frames':>7}  video")
    for video in found.usable[:MAX_LINES]:
        header = video.header
        typer.echo(
            f"{f'{header.width}x{header.height}':>11} {_number(header.fps, 2):>7} "
            f"{_number(header.duration_s, 2):>8} {_number(header.num_frames, 0):>7}  "
            f"{video.entry.name}"
        )
    if len(found.usable) > MAX_LINES:
        typer.echo(f"... and {len(found.usable) - MAX_LINES} more")
    seconds = sum(video.header.duration_s or 0 for video in found.usable)
    frames = sum(video.header.num_frames or 0 for video in found.usable)
    captions = sum(video.entry.caption is not None for video in found.usable)
    labels = sum(video.entry.label is not None for video in found.usable)
    typer.echo(
        f"declared in all: {seconds:.1f} s, {frames} frames; "
        f"{captions} with a caption, {labels} with a label"
    )


def _number(value: float | None, digits: int) -> str:
    return "?" if value is None else f"{value:.{digits}f}"
