"""Stage: samples and held-out frames -> figures; or the figures of anyone's videos."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cvg.errors import UserError
from pipeline.stage import (
    PARAMS_PATH,
    ParamsOption,
    SetOption,
    StageRun,
    path_option,
    resolve_paths,
    resolve_stores,
    stage_run,
    store_option,
)

if TYPE_CHECKING:
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
    }
    _refuse(stage if real is not None else videos, real=real)
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
        evaluate_videos(wish, scores=scores, out=out)
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
    with stage_run(
        "evaluate",
        sections=["seed", "evaluate"],
        params_path=params_path,
        overrides=overrides,
        out=paths["out"],
    ) as run:
        _score_samples(run, paths, place)


def _score_samples(run: StageRun, paths: dict[str, Path], frames: "Place") -> None:
    from cvg.critic.store import load_critic
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

    device, params = chosen_device(), run.params.evaluate
    model, vqgan_hash = load_vqgan(paths["vqgan"])
    loaded = load_samples(paths["samples"])
    require_same_vqgan(loaded.vqgan_hash, vqgan_hash, where=paths["samples"])
    judge = load_critic(paths["critic"])
    require_same_vqgan(judge.vqgan_hash, vqgan_hash, where=paths["critic"])
    judge.model.to(device)
    checked = read_health(paths["health"])
    require_same_vqgan(checked.vqgan_hash, vqgan_hash, where=paths["health"])
    store = FrameStore.open(frames)
    run.tracker.log_dataset("frames", digest=store.digest, path=frames)
    run.tracker.log_model("vqgan", digest=vqgan_hash, path=paths["vqgan"])
    suite = run_suite(
        store,
        loaded,
        model.to(device),
        load_networks(
            lpips=params.lpips, stage="evaluate", device=device, batch_size=params.batch_size
        ),
        critic=judge,
        seed=run.params.seed,
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
