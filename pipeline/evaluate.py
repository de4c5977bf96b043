"""Stage: samples and held-out frames -> figures; or the figures of anyone's videos."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cvg.errors import UserError
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
    from cvg.metrics.evaluator import EvaluateWork, Evaluator
    from cvg.remote.url import Place

VIDEOS = "Videos of any model instead: folders of videos, pictures or arrays"


def _of_videos(help_text: str, name: str, **more: Any) -> Any:
    return typer.Option(name, help=help_text, rich_help_panel=VIDEOS, show_default=False, **more)


def evaluate(
    frames: Annotated[str | None, store_option("Frame store.")] = None,
    vqgan: Annotated[Path | None, path_option("Trained VQGAN.")] = None,
    transformer: Annotated[Path | None, path_option("Folder of the transformers.")] = None,
    samples: Annotated[Path | None, path_option("Samples to score.")] = None,
    critic: Annotated[Path | None, path_option("Trained critic.")] = None,
    health: Annotated[Path | None, path_option("What check-vqgan wrote.")] = None,
    out: Annotated[Path | None, path_option("JSON file for the figures.")] = None,
    scores: Annotated[Path | None, path_option("Folder for protocols, rows, pictures.")] = None,
    params_path: ParamsOption = PARAMS_PATH,
    overrides: SetOption = None,
    real: Annotated[
        Path | None, _of_videos("Real videos: a folder, or an .npy of clips.", "--real")
    ] = None,
    fake: Annotated[
        list[Path] | None,
        _of_videos("Generated ones. Repeat it for more samples of the same conditions.", "--fake"),
    ] = None,
    paired: Annotated[
        bool, _of_videos("A generated video continues the real one of its name.", "--paired")
    ] = False,
    protocol: Annotated[
        str | None,
        _of_videos("A published one: stylegan-v-16f, videogpt-bair, ...", "--protocol"),
    ] = None,
    length: Annotated[
        int | None, _of_videos("Of a clip; 16 if not said.", "--length", min=1)
    ] = None,
    stride: Annotated[int | None, _of_videos("Every n-th frame.", "--stride", min=1)] = None,
    size: Annotated[
        int | None, _of_videos("Pixels; that of the videos if not said.", "--size", min=8)
    ] = None,
    fit: Annotated[
        Literal["crop", "pad", "squash"] | None,
        _of_videos("How frames come to be square; squash if not said.", "--fit"),
    ] = None,
    context_frames: Annotated[
        int | None, _of_videos("Real frames in front of both.", "--context-frames", min=0)
    ] = None,
    lpips: Annotated[
        Literal["alex", "vgg"] | None, _of_videos("Network of LPIPS; alex if not said.", "--lpips")
    ] = None,
    seed: Annotated[int | None, _of_videos("Of random starts; 0 if not said.", "--seed")] = None,
    launcher: LauncherOption = "local",
    workers: PartWorkersOption = 1,
    shard: ShardOption = None,
    ray_address: RayAddressOption = None,
    fresh: FreshOption = False,
) -> None:
    """Score the samples beside baselines and controls, or the videos of any model."""
    videos = {
        "--fake": fake,
        "--paired": paired,
        "--protocol": protocol,
        "--length": length,
        "--stride": stride,
        "--size": size,
        "--fit": fit,
        "--context-frames": context_frames,
        "--lpips": lpips,
        "--seed": seed,
    }
    stage = {
        "--frames": frames,
        "--vqgan": vqgan,
        "--transformer": transformer,
        "--samples": samples,
        "--critic": critic,
        "--health": health,
        "--set": overrides,
        "--shard": shard,
        "--fresh": fresh,
    }
    _refuse(stage if real is not None else videos, real=real)
    launch = Launch(launcher=launcher, workers=workers, shard=shard, ray_address=ray_address)
    if real is not None:
        from pipeline.evaluate_videos import Wish, evaluate_videos

        wish = Wish(
            real=real,
            fakes=fake or [],
            paired=paired,
            protocol=protocol,
            frames=length,
            stride=stride,
            size=size,
            fit=fit,
            context_frames=context_frames,
            lpips=lpips or "alex",
            seed=seed or 0,
        )
        evaluate_videos(wish, launch, scores=scores, out=out)
        return
    given = {
        "vqgan": vqgan,
        "transformer": transformer,
        "samples": samples,
        "critic": critic,
        "health": health,
        "out": out,
        "scores": scores,
    }
    paths = resolve_paths("evaluate", given, overrides=overrides)
    place = resolve_stores("evaluate", {"frames": frames})["frames"]
    from cvg.metrics.record import MARKER

    stage = MapStage(
        name="evaluate",
        sections=["seed", "evaluate"],
        params_path=params_path,
        overrides=overrides,
        out=paths["out"],
        marks=[paths["out"], paths["scores"] / MARKER],
        work=lambda run: _work(run, paths, place),
        join=lambda run, evaluator, parts: _join(run, evaluator, parts, paths, place),
    )
    stage.run(launch, fresh=fresh)


def _work(run: StageRun, paths: dict[str, Path], frames: "Place") -> "EvaluateWork":
    from cvg.metrics.evaluator import EvaluateWork

    return EvaluateWork(
        frames=frames.resolve(),
        vqgan=paths["vqgan"].resolve(),
        transformers=paths["transformer"].resolve(),
        samples=paths["samples"].resolve(),
        critic=paths["critic"].resolve(),
        health=paths["health"].resolve(),
        settings=run.params.evaluate,
        seed=run.params.seed,
    )


def _join(
    run: StageRun,
    evaluator: "Evaluator",
    parts: Sequence[Path],
    paths: dict[str, Path],
    frames: "Place",
) -> None:
    from cvg.files import write_json
    from cvg.metrics.evaluator import transformer_figures
    from cvg.metrics.health import read_health
    from cvg.metrics.names import flat_figures
    from cvg.metrics.record import write_suite

    run.tracker.log_dataset("frames", digest=evaluator.inputs["data"], path=frames)
    run.tracker.log_model("vqgan", digest=evaluator.inputs["vqgan"], path=paths["vqgan"])
    suite = evaluator.join(parts)
    transformers = transformer_figures(paths["transformer"], evaluator.levels)
    health = read_health(paths["health"]).figures
    figures = health | suite.figures | {"transformer": transformers}
    write_suite(paths["scores"], suite)
    write_json(paths["out"], figures)
    for sentence in suite.absent:
        sys.stderr.write(f"WARNING: {sentence}\n")
    run.tracker.log_artifact(paths["out"])
    run.tracker.log_final(flat_figures(figures))
    run.conclude(paths["out"], flat_figures({"sample": figures["sample"]}))


def _refuse(options: Mapping[str, Any], *, real: Path | None) -> None:
    """Refuse options of the other use of this command, which would be ignored."""
    given = [name for name, value in options.items() if value]
    if not given:
        return
    if real is None:
        raise UserError(f"{given[0]} is given without --real: name the real videos too")
    hint = "; the frames of a clip are --length" if given[0] == "--frames" else ""
    raise UserError(
        f"{given[0]} is of the stage, and --real scores folders of videos: leave one out{hint}"
    )
