"""Stage: frames -> hierarchical VQGAN."""

from pathlib import Path
from typing import Annotated

from pipeline.stage import (
    PARAMS_PATH,
    FreshOption,
    ParamsOption,
    SetOption,
    path_option,
    resolve_paths,
    resolve_stores,
    stage_run,
    store_option,
)


def train_vqgan(
    frames: Annotated[str | None, store_option("Frame store to train on.")] = None,
    out: Annotated[Path | None, path_option("Folder for weights and figures.")] = None,
    plot: Annotated[Path | None, path_option("CSV for the curves of the training.")] = None,
    params_path: ParamsOption = PARAMS_PATH,
    overrides: SetOption = None,
    fresh: FreshOption = False,
) -> None:
    """Learn the codebooks, the encoders and the decoder of single frames."""
    paths = resolve_paths("train-vqgan", {"out": out, "plot": plot}, overrides=overrides)
    place = resolve_stores("train-vqgan", {"frames": frames})["frames"]
    from cvg.files import refuse_foreign_folder, replacing_folder, write_json
    from cvg.frames.store import FrameStore
    from cvg.vqgan.comparator import find_comparator
    from cvg.vqgan.store import hash_vqgan, save_vqgan
    from cvg.vqgan.train import train_vqgan as train

    with stage_run(
        "train_vqgan",
        sections=["seed", "lr", "vqgan"],
        params_path=params_path,
        overrides=overrides,
        out=paths["out"],
        on_ranks=True,
    ) as run:
        params = run.params.vqgan
        refuse_foreign_folder(paths["out"], marker="config.json")
        store = FrameStore.open(place)
        run.tracker.log_dataset("frames", digest=store.digest, path=place)
        comparator = find_comparator(params.comparator, device=run.runtime.device)
        compared_by = params.comparator if comparator else "none"
        with run.workspace(data=store.digest, fresh=fresh, comparator=compared_by) as workspace:
            around = run.surroundings(params.lr_scale, workspace)
            result = train(store, params, comparator=comparator, around=around)
            if not run.writes:
                return
            figures = result.trained.best
            with replacing_folder(paths["out"], marker="config.json") as folder:
                save_vqgan(folder, result.vqgan)
                health = {"comparator": compared_by} | result.trained.summary()
                write_json(folder / "health.json", health)
            result.trained.history.write_csv(paths["plot"])
        run.tracker.log_model("vqgan", digest=hash_vqgan(result.vqgan), path=paths["out"])
        run.tracker.log_artifact(paths["plot"])
        run.conclude(paths["out"], figures)
