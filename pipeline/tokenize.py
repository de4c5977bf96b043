"""Stage: frames and VQGAN -> codes."""

from pathlib import Path
from typing import Annotated

from pipeline.stage import (
    PARAMS_PATH,
    FreshOption,
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
    fresh: FreshOption = False,
) -> None:
    """Turn every frame into its codes of all levels, once."""
    paths = resolve_paths(
        "tokenize", {"frames": frames, "vqgan": vqgan, "out": out}, overrides=overrides
    )
    from cvg.codes.store import HEADER, CodeStore, move_codes
    from cvg.files import replacing_folder
    from cvg.frames.store import FrameStore
    from cvg.vqgan.store import load_vqgan
    from cvg.vqgan.tokenize import tokenize as write_codes

    with stage_run(
        "tokenize",
        sections=["tokenize"],
        params_path=params_path,
        overrides=overrides,
        out=paths["out"],
    ) as run:
        store = FrameStore.open(paths["frames"])
        model, vqgan_hash = load_vqgan(paths["vqgan"])
        run.tracker.log_dataset("frames", digest=store.digest, path=paths["frames"])
        run.tracker.log_model("vqgan", digest=vqgan_hash, path=paths["vqgan"])
        with (
            run.workspace(data=store.digest, fresh=fresh, vqgan=vqgan_hash) as workspace,
            replacing_folder(paths["out"], marker=HEADER) as folder,
        ):
            figures = write_codes(
                store,
                model,
                vqgan_hash=vqgan_hash,
                folder=workspace.folder,
                batch_size=run.params.tokenize.batch_size,
                device=run.runtime.device,
            )
            move_codes(workspace.folder, folder)
        digest = CodeStore.open(paths["out"]).digest
        run.tracker.log_dataset("codes", digest=digest, path=paths["out"])
        run.conclude(paths["out"], figures)
