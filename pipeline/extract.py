"""The stage that turns videos into stored frames."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.stage import (
    PARAMS_PATH,
    ParamsOption,
    SetOption,
    WorkersOption,
    path_option,
    resolve_paths,
    stage_run,
)

if TYPE_CHECKING:
    from cvg.frames.report import ExtractReport

MAX_LINES = 20
ARTIFACTS = ("overview.png", "contact_train.png", "contact_held_out.png", "report.json")


def extract(
    manifest: Annotated[
        Path | None,
        typer.Option(
            help="CSV or Parquet of videos, or a folder of videos.",
            show_default="extract.manifest of params.yaml",
            rich_help_panel="Paths",
        ),
    ] = None,
    out: Annotated[Path | None, path_option("Folder for the frames.")] = None,
    workers: WorkersOption = None,
    params_path: ParamsOption = PARAMS_PATH,
    overrides: SetOption = None,
) -> None:
    """Decode videos once, resize, split and store the frames."""
    from cvg.frames import extract as frames
    from cvg.frames.store import FrameStore
    from cvg.videos.pool import available_cores

    paths = resolve_paths("extract", {"out": out}, overrides=overrides)
    with stage_run(
        "extract",
        sections=["seed", "extract"],
        params_path=params_path,
        overrides=overrides,
        out=paths["out"],
    ) as run:
        report = frames.extract(
            manifest or Path(run.params.extract.manifest),
            out=paths["out"],
            params=run.params.extract,
            seed=run.params.seed,
            workers=workers or available_cores(),
        )
        _print_account(report)
        for name in ARTIFACTS:
            run.tracker.log_artifact(paths["out"] / name)
        digest = FrameStore.open(paths["out"]).digest
        run.tracker.log_dataset("frames", digest=digest, path=paths["out"])
        run.conclude(paths["out"], _figures(report))


def _figures(report: "ExtractReport") -> dict[str, float]:
    figures: dict[str, float] = {"videos_used": report.used, "videos_skipped": len(report.skips)}
    for split in ("train", "held_out"):
        figures[f"frames_{split}"] = report.frames[split]
        figures[f"seconds_{split}"] = report.seconds[split]
    return {name: float(figure) for name, figure in figures.items()}


def _print_account(report: "ExtractReport") -> None:
    for skip in report.skips[:MAX_LINES]:
        typer.secho(f"skipped {skip.sentence()}", fg="yellow", err=True)
    if len(report.skips) > MAX_LINES:
        typer.echo(f"... and {len(report.skips) - MAX_LINES} more, see skipped.csv", err=True)
    for note in report.notes[:MAX_LINES]:
        typer.echo(f"note: {note.sentence()}", err=True)
    if len(report.notes) > MAX_LINES:
        typer.echo(f"... and {len(report.notes) - MAX_LINES} more, see notes.csv", err=True)
    for suffix, count in sorted(report.ignored.items()):
        typer.echo(f"not tried: {count} files {suffix}", err=True)
    typer.echo(report.sum_sentence())
