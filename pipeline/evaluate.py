"""Stage: samples and held-out frames -> figures."""

import sys
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


def evaluate(
    frames: Annotated[Path | None, path_option("Frame store.")] = None,
    vqgan: Annotated[Path | None, path_option("Trained VQGAN.")] = None,
    transformer: Annotated[Path | None, path_option("Folder of the transformers.")] = None,
    samples: Annotated[Path | None, path_option("Samples to score.")] = None,
    health: Annotated[Path | None, path_option("What check-vqgan wrote.")] = None,
    out: Annotated[Path | None, path_option("JSON file for the figures.")] = None,
    scores: Annotated[Path | None, path_option("Folder for protocols, rows, pictures.")] = None,
    params_path: ParamsOption = PARAMS_PATH,
    overrides: SetOption = None,
) -> None:
    """Score the samples beside baselines and controls."""
    given = {
        "frames": frames,
        "vqgan": vqgan,
        "transformer": transformer,
        "samples": samples,
        "health": health,
        "out": out,
        "scores": scores,
    }
    paths = resolve_paths("evaluate", given, overrides=overrides)
    from cvg.files import read_json, write_json
    from cvg.frames.samples import load_samples
    from cvg.frames.store import FrameStore
    from cvg.metrics.evaluate import load_networks
    from cvg.metrics.health import read_health
    from cvg.metrics.names import flat_figures
    from cvg.metrics.record import write_suite
    from cvg.metrics.suite import run_suite
    from cvg.training.device import chosen_device
    from cvg.vqgan.store import load_vqgan, require_same_vqgan

    with stage_run(
        "evaluate", sections=["seed", "evaluate"], params_path=params_path, overrides=overrides
    ) as run:
        device, params = chosen_device(), run.params.evaluate
        model, vqgan_hash = load_vqgan(paths["vqgan"])
        loaded = load_samples(paths["samples"])
        require_same_vqgan(loaded.vqgan_hash, vqgan_hash, where=paths["samples"])
        checked = read_health(paths["health"])
        require_same_vqgan(checked.vqgan_hash, vqgan_hash, where=paths["health"])
        suite = run_suite(
            FrameStore.open(paths["frames"]),
            loaded,
            model.to(device),
            load_networks(
                lpips=params.lpips, stage="evaluate", device=device, batch_size=params.batch_size
            ),
            seed=run.params.seed,
            device=device,
        )
        transformers = {
            level: read_json(paths["transformer"] / level / "figures.json")["held_out"]
            for level in model.shape.levels
        }
        figures = checked.figures | suite.figures | {"transformer": transformers}
        write_suite(paths["scores"], suite)
        write_json(paths["out"], figures)
        for sentence in suite.absent:
            sys.stderr.write(f"WARNING: {sentence}\n")
        run.tracker.log_artifact(paths["out"])
        run.tracker.log_final(flat_figures(figures))
        run.conclude(paths["out"], flat_figures({"sample": figures["sample"]}))
