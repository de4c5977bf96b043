"""Stage: frames and VQGAN -> codes."""

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


def tokenize(
    frames: Annotated[Path | None, path_option("Frame store to read.")] = None,
    vqgan: Annotated[Path | None, path_option("Trained VQGAN.")] = None,
    out: Annotated[Path | None, path_option("Folder for the codes.")] = None,
    params_path: ParamsOption = PARAMS_PATH,
    overrides: SetOption = None,
) -> None:
    """Turn every frame into its top and bottom codes, once."""
    paths = resolve_paths(
        "tokenize", {"frames": frames, "vqgan": vqgan, "out": out}, overrides=overrides
    )
    from cvg.files import replacing_folder
    from cvg.frames.store import FrameStore
    from cvg.training.device import chosen_device
    from cvg.vqgan.model import load_vqgan
    from cvg.vqgan.tokenize import tokenize as write_codes

    with stage_run(
        "tokenize", sections=["tokenize"], params_path=params_path, overrides=overrides
    ) as run:
        model, vqgan_hash = load_vqgan(paths["vqgan"])
        with replacing_folder(paths["out"], marker="codes.json") as folder:
            figures = write_codes(
                FrameStore.open(paths["frames"]),
                model,
                vqgan_hash=vqgan_hash,
                folder=folder,
                batch_size=run.params.tokenize.batch_size,
                device=chosen_device(),
            )
        run.conclude(paths["out"], figures)
