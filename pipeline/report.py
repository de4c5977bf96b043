"""Stage: everything that was measured -> one page."""

import os
from pathlib import Path
from typing import Annotated

from cvg.errors import UserError
from pipeline.stage import (
    PARAMS_PATH,
    ParamsOption,
    SetOption,
    path_option,
    resolve_paths,
    stage_run,
)


def report(
    frames: Annotated[Path | None, path_option("Frame store.")] = None,
    vqgan: Annotated[Path | None, path_option("Trained VQGAN.")] = None,
    health: Annotated[Path | None, path_option("Folder of the health check.")] = None,
    metrics: Annotated[Path | None, path_option("JSON file of the figures.")] = None,
    scores: Annotated[Path | None, path_option("Folder of protocols, rows, pictures.")] = None,
    plots: Annotated[Path | None, path_option("Folder of the training curves.")] = None,
    transformers: Annotated[Path | None, path_option("What check-transformers wrote.")] = None,
    ablation: Annotated[Path | None, path_option("CSV of variants of the VQGAN.")] = None,
    orders: Annotated[Path | None, path_option("CSV of orders of the codes.")] = None,
    critic: Annotated[Path | None, path_option("Pretrained critic.")] = None,
    finetuning: Annotated[Path | None, path_option("CSV of what fine-tuning changed.")] = None,
    accepted: Annotated[Path | None, path_option("What `cvg accept` wrote.")] = None,
    summary: Annotated[Path | None, path_option("Summary in Markdown to write.")] = None,
    out: Annotated[Path | None, path_option("Page to write.")] = None,
    params_path: ParamsOption = PARAMS_PATH,
    overrides: SetOption = None,
) -> None:
    """Put figures, curves and samples on one self-contained page."""
    given = {
        "frames": frames,
        "vqgan": vqgan,
        "health": health,
        "metrics": metrics,
        "scores": scores,
        "plots": plots,
        "transformers": transformers,
        "ablation": ablation,
        "orders": orders,
        "critic": critic,
        "finetuning": finetuning,
        "accepted": accepted,
        "summary": summary,
        "out": out,
    }
    paths = resolve_paths("report", given, overrides=overrides)
    out_path, summary_path = paths.pop("out"), paths.pop("summary")
    from cvg.files import read_json
    from cvg.metrics.names import flat_figures
    from cvg.report.about import describe
    from cvg.report.page import write_report
    from cvg.report.source import SourcePaths

    with stage_run(
        "report", sections=[], params_path=params_path, overrides=overrides, out=out_path
    ) as run:
        command = "dvc repro" if "DVC_STAGE" in os.environ else "cvg report"
        about = describe(Path.cwd(), command=command, device=os.environ.get("CVG_DEVICE", "cpu"))
        try:
            write_report(SourcePaths(**paths), out=out_path, summary=summary_path, about=about)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise UserError(
                f"the page cannot be made: {type(error).__name__}: {error}. A file of figures is "
                "damaged, was edited, or is of another version: run its stage again (`dvc status` "
                "names what was changed; --debug shows where it was read)"
            ) from error
        run.tracker.log_artifact(out_path, of_pipeline=True)
        run.tracker.log_artifact(summary_path, of_pipeline=True)
        run.tracker.log_pipeline(flat_figures(read_json(paths["metrics"])))
        run.conclude(out_path, {})
