"""Stage: held-out frames and VQGAN -> is it fit for what is built on it?"""

import sys
from pathlib import Path
from typing import Annotated

from pipeline.stage import (
    PARAMS_PATH,
    ParamsOption,
    SetOption,
    path_option,
    resolve_paths,
    resolve_stores,
    stage_run,
    store_option,
)


def check_vqgan(
    frames: Annotated[str | None, store_option("Frame store.")] = None,
    vqgan: Annotated[Path | None, path_option("Trained VQGAN.")] = None,
    out: Annotated[Path | None, path_option("Folder for figures, gates, pictures.")] = None,
    params_path: ParamsOption = PARAMS_PATH,
    overrides: SetOption = None,
) -> None:
    """Hold the VQGAN's held-out figures against their bounds."""
    paths = resolve_paths("check-vqgan", {"vqgan": vqgan, "out": out}, overrides=overrides)
    place = resolve_stores("check-vqgan", {"frames": frames})["frames"]
    from cvg.frames.store import FrameStore
    from cvg.metrics.gates import enforce
    from cvg.metrics.health import check_health, write_health
    from cvg.metrics.names import flat_figures
    from cvg.metrics.networks import load_networks
    from cvg.training.device import chosen_device
    from cvg.vqgan.store import load_vqgan

    with stage_run(
        "check_vqgan",
        sections=["seed", "check_vqgan"],
        params_path=params_path,
        overrides=overrides,
        out=paths["out"],
    ) as run:
        device, params = chosen_device(), run.params.check_vqgan
        model, vqgan_hash = load_vqgan(paths["vqgan"])
        store = FrameStore.open(place)
        run.tracker.log_dataset("frames", digest=store.digest, path=place)
        run.tracker.log_model("vqgan", digest=vqgan_hash, path=paths["vqgan"])
        health = check_health(
            store,
            model.to(device),
            load_networks(lpips="alex", stage="check_vqgan", device=device),
            params=params,
            seed=run.params.seed,
            device=device,
        )
        for sentence in health.absent:
            sys.stderr.write(f"WARNING: {sentence}\n")
        run.tracker.log_final(flat_figures(health.figures))
        write_health(paths["out"], health, vqgan_hash=vqgan_hash)  # to be read in either case
        enforce(health.gates, strict=params.strict)
        run.conclude(paths["out"], flat_figures({"vqgan": health.figures["vqgan"]}))
