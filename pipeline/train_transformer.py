"""Stage: codes -> transformer of one level."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

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

SHARED = ("order", "keep_first", "conditions")  # of params.yaml's transformer: of all levels


class LevelChoice(StrEnum):
    """The levels on the command line."""

    top = "top"
    middle = "middle"
    bottom = "bottom"


def train_transformer(
    level: Annotated[LevelChoice, typer.Option(help="Whose codes to learn.")],
    codes: Annotated[str | None, store_option("Codes to train on.")] = None,
    out: Annotated[Path | None, path_option("Folder for weights and figures.")] = None,
    plot: Annotated[Path | None, path_option("CSV for the curves of the training.")] = None,
    params_path: ParamsOption = PARAMS_PATH,
    overrides: SetOption = None,
    fresh: FreshOption = False,
) -> None:
    """Learn to write the codes of one level, from the condition and the frames before."""
    command = "train-transformer"
    paths = resolve_paths(
        command, {"out": out, "plot": plot}, overrides=overrides, level=level.value
    )
    place = resolve_stores(command, {"codes": codes}, level=level.value)["codes"]
    from cvg.codes.store import CodeStore
    from cvg.files import refuse_foreign_folder, replacing_folder, write_json
    from cvg.training.weights import hash_weights
    from cvg.transformer.store import save_transformer
    from cvg.transformer.train import train_transformer as train

    with stage_run(
        f"train_transformer_{level.value}",
        sections=["seed", "lr", *(f"transformer.{part}" for part in (*SHARED, level.value))],
        params_path=params_path,
        overrides=overrides,
        out=paths["out"],
        on_ranks=True,
    ) as run:
        params = run.params.transformer
        lr_scale = params.of(level.value).lr_scale
        refuse_foreign_folder(paths["out"], marker="config.json")
        store = CodeStore.open(place)
        run.tracker.log_dataset("codes", digest=store.digest, path=place)
        with run.workspace(data=store.digest, fresh=fresh) as workspace:
            result = train(store, level.value, params, run.surroundings(lr_scale, workspace))
            if not run.writes:
                return
            figures = result.trained.best
            with replacing_folder(paths["out"], marker="config.json") as folder:
                save_transformer(folder, result.transformer)
                write_json(folder / "figures.json", result.trained.summary())
            result.trained.history.write_csv(paths["plot"])
        digest = hash_weights(result.transformer.model)
        run.tracker.log_model(f"transformer-{level.value}", digest=digest, path=paths["out"])
        run.tracker.log_artifact(paths["plot"])
        run.conclude(paths["out"], figures)
