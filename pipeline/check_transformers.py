"""Stage: held-out codes and models -> likelihoods, and how long videos change."""

import sys
from pathlib import Path
from typing import Annotated

from pipeline.stage import (
    PARAMS_PATH,
    ParamsOption,
    SetOption,
    link_models,
    path_option,
    resolve_paths,
    resolve_stores,
    stage_run,
    store_option,
)


def check_transformers(
    frames: Annotated[str | None, store_option("Frame store.")] = None,
    codes: Annotated[str | None, store_option("Codes of the frames.")] = None,
    vqgan: Annotated[Path | None, path_option("Trained VQGAN.")] = None,
    transformer: Annotated[Path | None, path_option("Folder of the transformers.")] = None,
    out: Annotated[Path | None, path_option("Folder for figures and tables.")] = None,
    params_path: ParamsOption = PARAMS_PATH,
    overrides: SetOption = None,
) -> None:
    """Measure the transformers: cross-entropy by truth seen, and drift of long videos."""
    command = "check-transformers"
    paths = resolve_paths(
        command, {"vqgan": vqgan, "transformer": transformer, "out": out}, overrides=overrides
    )
    places = resolve_stores(command, {"frames": frames, "codes": codes})
    from cvg.frames.store import FrameStore
    from cvg.metrics.drift import measure_drift
    from cvg.metrics.names import flat_figures
    from cvg.metrics.networks import load_networks
    from cvg.metrics.transformers import write_check
    from cvg.sampling.check import score_codes, write_long
    from cvg.sampling.models import load_models, open_codes
    from cvg.training.device import chosen_device

    with stage_run(
        "check_transformers",
        sections=["seed", "check_transformers", "sample"],
        params_path=params_path,
        overrides=overrides,
        out=paths["out"],
    ) as run:
        params, device, seed = run.params.check_transformers, chosen_device(), run.params.seed
        models = load_models(vqgan=paths["vqgan"], transformers=paths["transformer"], device=device)
        store, real = open_codes(places["codes"], models), FrameStore.open(places["frames"])
        link_models(run, models, paths, codes=store)
        likelihoods = score_codes(
            models, store, params, kinds=run.params.sample.conditions, seed=seed
        )
        long = write_long(models, store, real, params, run.params.sample, seed=seed)
        networks = load_networks(
            lpips="alex", stage="check_transformers", device=device, with_fvd=False
        )
        for sentence in networks.missing:
            sys.stderr.write(f"WARNING: {sentence}\n")
        drift = measure_drift(
            long.videos, long.real, context_frames=params.context_frames, networks=networks
        )
        nll, by_frame = None, []
        if likelihoods is not None:
            nll = likelihoods.figures()
            by_frame = [*likelihoods.by_frame(context_frames=params.context_frames)]
        figures = write_check(paths["out"], likelihoods=nll, by_frame=by_frame, drift=drift)
        run.tracker.log_final(flat_figures(figures))
        run.conclude(paths["out"], flat_figures({"nll": figures.get("nll", {})}))
