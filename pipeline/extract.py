"""The stage that turns videos into stored frames."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.mapped import Launch, LauncherOption, MapStage, RayAddressOption, ShardOption
from pipeline.stage import (
    PARAMS_PATH,
    ParamsOption,
    SetOption,
    StageRun,
    WorkersOption,
    path_option,
    resolve_paths,
    stage_run,
)

if TYPE_CHECKING:
    from cvg.frames.parts import ExtractWork
    from cvg.frames.report import ExtractReport
    from cvg.remote.url import Place

MAX_LINES = 20
ARTIFACTS = ("overview.png", "contact_train.png", "contact_held_out.png", "report.json")


def extract(
    manifest: Annotated[
        str | None,
        typer.Option(
            help="CSV or Parquet of videos, or a folder of videos; a path or a URL of fsspec.",
            show_default="extract.manifest of params.yaml",
            rich_help_panel="Paths",
        ),
    ] = None,
    out: Annotated[Path | None, path_option("Folder for the frames.")] = None,
    workers: WorkersOption = None,
    params_path: ParamsOption = PARAMS_PATH,
    overrides: SetOption = None,
    launcher: LauncherOption = "local",
    shard: ShardOption = None,
    ray_address: RayAddressOption = None,
) -> None:
    """Decode videos once, resize, split and store the frames."""
    from cvg.videos.pool import available_cores

    paths = resolve_paths("extract", {"out": out}, overrides=overrides)
    place, workers = paths["out"], workers or available_cores()
    sections = ["seed", "extract"]
    if shard is None and launcher == "local":
        # Films go straight into the store, for parts on disk would take its room twice.
        with stage_run(
            "extract",
            sections=sections,
            params_path=params_path,
            overrides=overrides,
            out=place,
        ) as run:
            _extract(run, manifest, place, workers)
        return

    def work(run: StageRun) -> "ExtractWork":
        from cvg.frames.parts import ExtractWork

        return ExtractWork(
            manifest=_manifest(run, manifest).resolve(),
            params=run.params.extract,
            workers=1 if launcher == "ray" else workers,
        )

    stage = MapStage(
        name="extract",
        sections=sections,
        params_path=params_path,
        overrides=overrides,
        out=place,
        marks=[place / "store.json"],
        work=work,
        join=lambda run, _, parts: _extract(run, manifest, place, workers, parts),
    )
    stage.run(Launch(launcher=launcher, workers=1, shard=shard, ray_address=ray_address))


def _manifest(run: StageRun, given: str | None) -> "Place":
    from cvg.remote.url import read_place

    return read_place(given or run.params.extract.manifest)


def _extract(
    run: StageRun,
    manifest: str | None,
    out: Path,
    workers: int,
    parts: Sequence[Path] | None = None,
) -> None:
    from cvg.frames import extract as frames
    from cvg.frames.store import FrameStore

    report = frames.extract(
        _manifest(run, manifest),
        out=out,
        params=run.params.extract,
        seed=run.params.seed,
        workers=workers,
        parts=parts,
    )
    _print_account(report)
    for name in ARTIFACTS:
        run.tracker.log_artifact(out / name)
    run.tracker.log_dataset("frames", digest=FrameStore.open(out).digest, path=out)
    run.conclude(out, _figures(report))


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
