"""Stage: held-out context and models -> generated videos."""

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


def sample(
    frames: Annotated[Path | None, path_option("Frame store, for the true continuation.")] = None,
    codes: Annotated[Path | None, path_option("Codes of the context frames.")] = None,
    vqgan: Annotated[Path | None, path_option("Trained VQGAN.")] = None,
    transformer: Annotated[Path | None, path_option("Folder of both transformers.")] = None,
    out: Annotated[Path | None, path_option("Folder for the samples.")] = None,
    params_path: ParamsOption = PARAMS_PATH,
    overrides: SetOption = None,
) -> None:
    """Continue held-out videos from their first frames and their condition."""
    paths = resolve_paths(
        "sample",
        {"frames": frames, "codes": codes, "vqgan": vqgan, "transformer": transformer, "out": out},
        overrides=overrides,
    )
    from cvg.files import replacing_folder
    from cvg.frames.samples import save_samples
    from cvg.frames.store import FrameStore
    from cvg.sampling.models import load_models
    from cvg.sampling.sample import sample_clips
    from cvg.sampling.show import write_videos
    from cvg.training.device import chosen_device

    with stage_run(
        "sample", sections=["seed", "sample"], params_path=params_path, overrides=overrides
    ) as run:
        settings, device = run.params.sample, chosen_device()
        models = load_models(
            codes=paths["codes"],
            vqgan=paths["vqgan"],
            transformers=paths["transformer"],
            device=device,
        )
        store = FrameStore.open(paths["frames"])
        samples = sample_clips(models, store, settings, seed=run.params.seed, device=device)
        with replacing_folder(paths["out"], marker="samples.json") as folder:
            save_samples(folder, samples)
            for path in write_videos(folder, samples, store=store, fps=settings.fps):
                run.tracker.log_artifact(path, "samples")
        run.conclude(paths["out"], {"clips": len(samples.clips)})
