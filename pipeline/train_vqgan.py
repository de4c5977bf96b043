"""Stage: frames -> hierarchical VQGAN."""

from pathlib import Path
from typing import Annotated

from pipeline.stage import (
    PARAMS_PATH,
    ParamsOption,
    SetOption,
    path_option,
    resolve_paths,
    stage_run,
)


def train_vqgan(
    frames: Annotated[Path | None, path_option("Frame store to train on.")] = None,
    out: Annotated[Path | None, path_option("Folder for weights and figures.")] = None,
    plot: Annotated[Path | None, path_option("CSV for the curves of the training.")] = None,
    params_path: ParamsOption = PARAMS_PATH,
    overrides: SetOption = None,
) -> None:
    """Learn two codebooks, the encoders and the decoder of single frames."""
    paths = resolve_paths(
        "train-vqgan", {"frames": frames, "out": out, "plot": plot}, overrides=overrides
    )
    from cvg.files import replacing_folder, write_json
    from cvg.frames.store import FrameStore
    from cvg.training.device import chosen_device
    from cvg.vqgan.comparator import find_comparator
    from cvg.vqgan.health import check_gates
    from cvg.vqgan.model import save_vqgan
    from cvg.vqgan.train import train_vqgan as train

    with stage_run(
        "train_vqgan",
        sections=["seed", "lr", "vqgan"],
        params_path=params_path,
        overrides=overrides,
    ) as run:
        params = run.params.vqgan
        comparator = find_comparator(params.comparator, device=chosen_device())
        result = train(
            FrameStore.open(paths["frames"]),
            params,
            comparator=comparator,
            around=run.surroundings(params.lr_scale),
        )
        figures = result.trained.best
        with replacing_folder(paths["out"], marker="config.json") as folder:
            save_vqgan(folder, result.vqgan)
            write_json(
                folder / "health.json",
                {
                    "best_step": result.trained.best_step,
                    "comparator": params.comparator if comparator else "none",
                    "held_out": figures,
                    "warnings": check_gates(figures, params.gates),
                },
            )
        result.trained.history.write_csv(paths["plot"])
        run.tracker.log_artifact(paths["plot"])
        run.conclude(paths["out"], figures)
