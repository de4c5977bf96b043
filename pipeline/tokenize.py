"""Stage: frames and VQGAN -> codes."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pipeline.mapped import (
    Launch,
    LauncherOption,
    MapStage,
    PartWorkersOption,
    RayAddressOption,
    ShardOption,
)
from pipeline.stage import (
    PARAMS_PATH,
    FreshOption,
    ParamsOption,
    SetOption,
    StageRun,
    path_option,
    resolve_paths,
    resolve_stores,
    store_option,
)

if TYPE_CHECKING:
    from cvg.vqgan.tokenize import Tokenizer, TokenizeWork


def tokenize(
    frames: Annotated[str | None, store_option("Frame store to read.")] = None,
    vqgan: Annotated[Path | None, path_option("Trained VQGAN.")] = None,
    out: Annotated[Path | None, path_option("Folder for the codes.")] = None,
    params_path: ParamsOption = PARAMS_PATH,
    overrides: SetOption = None,
    fresh: FreshOption = False,
    launcher: LauncherOption = "local",
    workers: PartWorkersOption = 1,
    shard: ShardOption = None,
    ray_address: RayAddressOption = None,
) -> None:
    """Turn every frame into its codes of all levels, once."""
    paths = resolve_paths("tokenize", {"vqgan": vqgan, "out": out}, overrides=overrides)
    place = resolve_stores("tokenize", {"frames": frames})["frames"]
    from cvg.codes.store import HEADER

    def work(run: StageRun) -> "TokenizeWork":
        from cvg.vqgan.tokenize import TokenizeWork

        return TokenizeWork(
            frames=place.resolve(),
            vqgan=paths["vqgan"].resolve(),
            batch_size=run.params.tokenize.batch_size,
        )

    stage = MapStage(
        name="tokenize",
        sections=["tokenize"],
        params_path=params_path,
        overrides=overrides,
        out=paths["out"],
        marks=[paths["out"] / HEADER],
        work=work,
        join=lambda run, tokenizer, parts: _join(run, tokenizer, parts, paths),
    )
    launch = Launch(launcher=launcher, workers=workers, shard=shard, ray_address=ray_address)
    stage.run(launch, fresh=fresh)


def _join(
    run: StageRun, tokenizer: "Tokenizer", parts: Sequence[Path], paths: dict[str, Path]
) -> None:
    from cvg.codes.store import HEADER, CodeStore
    from cvg.files import replacing_folder

    run.tracker.log_dataset("frames", digest=tokenizer.inputs["data"], path=tokenizer.store.folder)
    run.tracker.log_model("vqgan", digest=tokenizer.inputs["vqgan"], path=paths["vqgan"])
    with replacing_folder(paths["out"], marker=HEADER) as folder:
        figures = tokenizer.join(parts, folder)
    run.tracker.log_dataset("codes", digest=CodeStore.open(paths["out"]).digest, path=paths["out"])
    run.conclude(paths["out"], figures)
