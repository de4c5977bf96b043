"""Stage: transformers -> transformers that a critic, or samples of their own, have taught."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.stage import (
    PARAMS_PATH,
    FreshOption,
    ParamsOption,
    SetOption,
    StageRun,
    link_models,
    path_option,
    resolve_paths,
    resolve_stores,
    stage_run,
    store_option,
)

if TYPE_CHECKING:
    from cvg.remote.url import Place

# Of sampling, what also shapes samples whose distribution is that of the models.
DRAWING = ("sample.passes", "sample.pass_noise", "sample.packing")


def finetune(
    codes: Annotated[str | None, store_option("Codes to train on.")] = None,
    vqgan: Annotated[Path | None, path_option("Trained VQGAN of the codes.")] = None,
    transformer: Annotated[Path | None, path_option("Folder of the trained transformers.")] = None,
    critic: Annotated[Path | None, path_option("Pretrained critic.")] = None,
    out: Annotated[Path | None, path_option("Folder for the tuned transformers.")] = None,
    plot: Annotated[Path | None, path_option("CSV for the curves of the training.")] = None,
    params_path: ParamsOption = PARAMS_PATH,
    overrides: SetOption = None,
    fresh: FreshOption = False,
) -> None:
    """Tune the transformers by the critic's gradient, or by the likelihood of their own samples.

    With finetune.enabled: false it hands on the transformers as they are.
    """
    paths = resolve_paths(
        "finetune",
        {
            "vqgan": vqgan,
            "transformer": transformer,
            "critic": critic,
            "out": out,
            "plot": plot,
        },
        overrides=overrides,
    )
    place = resolve_stores("finetune", {"codes": codes})["codes"]
    from cvg.files import refuse_foreign_folder
    from cvg.sampling.models import FINETUNING

    with stage_run(
        "finetune",
        sections=["seed", "lr", "finetune", "transformer", *DRAWING],
        params_path=params_path,
        overrides=overrides,
        out=paths["out"],
        on_ranks=True,
    ) as run:
        refuse_foreign_folder(paths["out"], marker=FINETUNING)
        if run.params.finetune.enabled:
            _tune(run, paths, place, fresh=fresh)
        elif run.writes:
            _hand_on(run, paths)


def _hand_on(run: StageRun, paths: dict[str, Path]) -> None:
    """Copy the transformers of all levels, so that the stages after this one find them here."""
    from cvg.files import replacing_folder, write_json
    from cvg.sampling.models import FINETUNING, hash_transformers
    from cvg.training.history import History
    from cvg.training.weights import reading_config
    from cvg.vqgan.store import load_vqgan, require_same_vqgan

    vqgan, vqgan_hash = load_vqgan(paths["vqgan"])
    levels = vqgan.shape.levels
    for level in levels:
        source = paths["transformer"] / level
        with reading_config(source, "transformer", stage="train-transformer") as config:
            require_same_vqgan(config["vqgan"], vqgan_hash, where=source)
    with replacing_folder(paths["out"], marker=FINETUNING) as folder:
        for level in levels:
            shutil.copytree(paths["transformer"] / level, folder / level)
        made_of = hash_transformers(paths["transformer"], levels)
        write_json(folder / FINETUNING, {"enabled": False, "made_of": made_of})
    History().write_csv(paths["plot"])
    typer.echo("finetune: off (finetune.enabled), the transformers are handed on as they are")
    run.conclude(paths["out"], {})


def _tune(run: StageRun, paths: dict[str, Path], codes: "Place", *, fresh: bool) -> None:
    from cvg.critic.store import load_critic
    from cvg.files import replacing_folder, write_json
    from cvg.finetuning.train import Settings
    from cvg.finetuning.train import finetune as tune
    from cvg.sampling.models import FINETUNING, hash_transformers, load_models, open_codes
    from cvg.training.weights import hash_weights
    from cvg.transformer.store import save_transformer
    from cvg.vqgan.store import hash_vqgan, require_same_vqgan

    params = run.params.finetune
    models = load_models(
        vqgan=paths["vqgan"], transformers=paths["transformer"], device=run.runtime.device
    )
    store = open_codes(codes, models)
    critic = load_critic(paths["critic"])
    require_same_vqgan(critic.vqgan_hash, models.vqgan_hash, where=paths["critic"])
    link_models(run, models, paths, codes=store)
    inputs = [one.model for one in models.transformers.values()] + [critic.model]
    with run.workspace(
        data=store.digest, fresh=fresh, models=" ".join(hash_weights(model) for model in inputs)
    ) as workspace:
        result = tune(
            store,
            models,
            critic,
            Settings(finetune=params, transformer=run.params.transformer, draw=run.params.sample),
            run.surroundings(params.lr_scale, workspace),
        )
        require_same_vqgan(hash_vqgan(models.vqgan), models.vqgan_hash, where=paths["vqgan"])
        if not run.writes:
            return
        figures = result.trained.best
        with replacing_folder(paths["out"], marker=FINETUNING) as folder:
            for level, trained in result.transformers.items():
                (folder / level).mkdir()
                save_transformer(folder / level, trained)
                held_out = result.held_out(level)
                if held_out is None:
                    name = f"{level}/figures.json"
                    shutil.copy(paths["transformer"] / name, folder / name)
                else:
                    write_json(folder / level / "figures.json", {"held_out": held_out})
            made_of = hash_transformers(paths["transformer"], list(result.transformers))
            outcome = {"enabled": True, "made_of": made_of} | result.trained.summary()
            write_json(folder / FINETUNING, outcome)
        result.trained.history.write_csv(paths["plot"])
    for level, trained in result.transformers.items():
        digest = hash_weights(trained.model)
        run.tracker.log_model(f"transformer-{level}", digest=digest, path=paths["out"] / level)
    run.tracker.log_artifact(paths["plot"])
    run.conclude(paths["out"], figures)
