"""Stage: codes -> temporal critic."""

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


def train_critic(
    codes: Annotated[str | None, store_option("Codes to train on.")] = None,
    vqgan: Annotated[Path | None, path_option("Trained VQGAN of the codes.")] = None,
    out: Annotated[Path | None, path_option("Folder for weights and figures.")] = None,
    plot: Annotated[Path | None, path_option("CSV for the curves of the training.")] = None,
    params_path: ParamsOption = PARAMS_PATH,
    overrides: SetOption = None,
    fresh: FreshOption = False,
) -> None:
    """Learn to tell real successive frames from shuffled, hurried, frozen and spliced ones."""
    paths = resolve_paths(
        "train-critic", {"vqgan": vqgan, "out": out, "plot": plot}, overrides=overrides
    )
    place = resolve_stores("train-critic", {"codes": codes})["codes"]
    from cvg.codes.store import CodeStore
    from cvg.critic.store import load_critic, save_critic
    from cvg.critic.train import train_critic as train
    from cvg.files import refuse_foreign_folder, replacing_folder, write_json
    from cvg.training.weights import hash_weights
    from cvg.vqgan.store import load_vqgan, require_same_vqgan

    with stage_run(
        "train_critic",
        sections=["seed", "lr", "critic", "transformer.conditions"],
        params_path=params_path,
        overrides=overrides,
        out=paths["out"],
        on_ranks=True,
    ) as run:
        params = run.params.critic
        refuse_foreign_folder(paths["out"], marker="config.json")
        store = CodeStore.open(place)
        model, vqgan_hash = load_vqgan(paths["vqgan"])
        require_same_vqgan(store.vqgan_hash, vqgan_hash, where=place)
        run.tracker.log_dataset("codes", digest=store.digest, path=place)
        run.tracker.log_model("vqgan", digest=vqgan_hash, path=paths["vqgan"])
        start = load_critic(Path(params.start)) if params.start else None
        with run.workspace(
            data=store.digest, fresh=fresh, start=hash_weights(start.model) if start else None
        ) as workspace:
            result = train(
                store,
                model,
                params,
                run.params.transformer.conditions,
                run.surroundings(params.lr_scale, workspace),
                start=start,
            )
            if not run.writes:
                return
            figures = result.trained.best
            with replacing_folder(paths["out"], marker="config.json") as folder:
                save_critic(folder, result.critic)
                write_json(folder / "training.json", result.trained.summary())
                write_json(folder / "figures.json", figures)
            result.trained.history.write_csv(paths["plot"])
        digest = hash_weights(result.critic.model)
        run.tracker.log_model("critic", digest=digest, path=paths["out"])
        run.tracker.log_artifact(paths["plot"])
        run.conclude(paths["out"], figures)
