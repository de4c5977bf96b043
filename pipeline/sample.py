"""Stage: held-out context, conditions and models -> videos; or the videos that someone asks for."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    link_models,
    path_option,
    resolve_paths,
    resolve_stores,
    stage_run,
    store_option,
)

if TYPE_CHECKING:
    from cvg.remote.url import Place
    from cvg.sampling.generator import Generator, Request
    from cvg.sampling.models import Models
    from cvg.sampling.sample import Sampler, SampleWork

ASKED = "What to make instead"


def _asked(help_text: str, name: str, **more: Any) -> Any:
    return typer.Option(name, help=help_text, rich_help_panel=ASKED, show_default=False, **more)


def sample(
    frames: Annotated[str | None, store_option("Frame store, for the true continuation.")] = None,
    codes: Annotated[str | None, store_option("Codes of the context frames.")] = None,
    vqgan: Annotated[Path | None, path_option("Trained VQGAN.")] = None,
    transformer: Annotated[Path | None, path_option("Folder of the transformers.")] = None,
    critic: Annotated[Path | None, path_option("Critic, where sample.best_of is above 1.")] = None,
    out: Annotated[Path | None, path_option("Folder for the samples.")] = None,
    params_path: ParamsOption = PARAMS_PATH,
    overrides: SetOption = None,
    caption: Annotated[str | None, _asked("A sentence.", "--caption")] = None,
    then: Annotated[
        list[str] | None,
        _asked("Another sentence from a frame on: '24: a cat sleeps'. Repeatable.", "--then"),
    ] = None,
    label: Annotated[str | None, _asked("A class.", "--label")] = None,
    rate: Annotated[float | None, _asked("Frames a second.", "--rate")] = None,
    motion: Annotated[
        int | None, _asked("1 for calm up to the buckets of motion for lively.", "--motion")
    ] = None,
    actions: Annotated[
        Path | None, _asked("An .npy or .csv with a row of numbers a frame.", "--actions")
    ] = None,
    maps: Annotated[
        Path | None, _asked("A video, folder of images or array: a map a frame.", "--map")
    ] = None,
    first: Annotated[
        Path | None, _asked("A video or picture that it begins with.", "--first")
    ] = None,
    given: Annotated[
        int | None, _asked("Frames that are taken of --first; 1 if not said.", "--given", min=1)
    ] = None,
    last: Annotated[Path | None, _asked("A picture in which it ends.", "--last")] = None,
    length: Annotated[
        int | None, _asked("Frames of the video, any number.", "--length", min=1)
    ] = None,
    count: Annotated[
        int | None, _asked("Videos of the same wish, each another one.", "--count", min=1)
    ] = None,
    seed: Annotated[int | None, _asked("Other numbers give other videos.", "--seed")] = None,
    launcher: LauncherOption = "local",
    workers: PartWorkersOption = 1,
    shard: ShardOption = None,
    ray_address: RayAddressOption = None,
    fresh: FreshOption = False,
) -> None:
    """Continue held-out videos from their first frames and their conditions.

    With any option under "What to make instead", it makes those videos: from conditions, from first
    frames, between a first and a last frame, of any length. Then --out is needed.
    """
    asked = {
        "--caption": caption,
        "--then": then or None,
        "--label": label,
        "--rate": rate,
        "--motion": motion,
        "--actions": actions,
        "--map": maps,
        "--first": first,
        "--last": last,
        "--length": length,
        "--seed": seed,
        "--count": count,
        "--given": given,
    }
    given_paths = {"vqgan": vqgan, "transformer": transformer, "critic": critic, "out": out}
    if all(value is None for value in asked.values()):
        paths = resolve_paths("sample", given_paths, overrides=overrides)
        places = resolve_stores("sample", {"frames": frames, "codes": codes})
        stage = MapStage(
            name="sample",
            sections=["seed", "sample"],
            params_path=params_path,
            overrides=overrides,
            out=paths["out"],
            marks=[paths["out"] / "samples.json"],
            work=lambda run: _work(run, paths, places),
            join=lambda run, sampler, parts: _join(run, sampler, parts, paths),
            warn=lambda sampler: sampler.warn(),
        )
        launch = Launch(launcher=launcher, workers=workers, shard=shard, ray_address=ray_address)
        stage.run(launch, fresh=fresh)
        return
    if shard is not None or launcher != "local" or workers > 1:
        raise UserError(
            "cvg sample: --shard, --launcher and --workers are for the held-out clips; videos of "
            "one's own are made in this process"
        )
    if out is None:
        names = ", ".join(name for name, value in asked.items() if value is not None)
        raise UserError(
            f"cvg sample: {names} asks for videos of one's own; give --out FOLDER too, so that the "
            "samples which DVC tracks stay those of the held-out clips"
        )
    if given is not None and first is None:
        raise UserError(
            "cvg sample: --given says how many frames are taken of --first; give it too"
        )
    paths = resolve_paths("sample", given_paths, overrides=overrides)
    with stage_run(
        "sample",
        sections=["seed", "sample"],
        params_path=params_path,
        overrides=overrides,
        out=paths["out"],
    ) as run:
        _make_asked(run, paths, asked)


def _work(run: StageRun, paths: dict[str, Path], places: "dict[str, Place]") -> "SampleWork":
    from cvg.sampling.sample import SampleWork

    return SampleWork(
        frames=places["frames"].resolve(),
        codes=places["codes"].resolve(),
        vqgan=paths["vqgan"].resolve(),
        transformers=paths["transformer"].resolve(),
        critic=paths["critic"].resolve() if run.params.sample.best_of > 1 else None,
        settings=run.params.sample,
        seed=run.params.seed,
    )


def _join(run: StageRun, sampler: "Sampler", parts: Sequence[Path], paths: dict[str, Path]) -> None:
    import numpy as np

    from cvg.files import replacing_folder
    from cvg.frames.samples import TRUTH, save_samples, true_clips
    from cvg.sampling.show import write_videos

    link_models(run, sampler.models, paths, codes=sampler.codes)
    samples, store = sampler.join(parts), sampler.frames
    with replacing_folder(paths["out"], marker="samples.json") as folder:
        save_samples(folder, samples)
        np.save(folder / TRUTH, true_clips(store, samples))
        for path in write_videos(folder, samples, store=store, fps=run.params.sample.fps):
            run.tracker.log_artifact(path, "samples")
    run.conclude(paths["out"], {"clips": len(samples.clips)})


def _make_asked(run: StageRun, paths: dict[str, Path], asked: dict[str, Any]) -> None:
    from cvg.files import refuse_foreign_folder, replacing_folder
    from cvg.sampling.decode import CHUNK
    from cvg.sampling.generator import Generator
    from cvg.sampling.request import write_requested

    refuse_foreign_folder(paths["out"], marker="request.json")
    generator = Generator(_load(run, paths), run.params.sample)
    count = asked["--count"] or 1
    request = _request(run, generator, asked)
    _warn_of_words(generator, request)
    out, seed = paths["out"].absolute(), asked["--seed"]
    preview = out.with_name(f"{out.name}.preview.gif")
    if request.frames > CHUNK:
        sys.stderr.write(f"sample: while it writes, the first frames can be seen in {preview}\n")
    with replacing_folder(out, marker="request.json") as folder:
        for path in write_requested(
            folder,
            generator,
            [request] * count,
            seed=run.params.seed if seed is None else seed,
            fps=asked["--rate"] or run.params.sample.fps,
            preview=preview,
        ):
            run.tracker.log_artifact(path, "samples")
    run.conclude(out, {"videos": count, "frames": request.frames})


def _load(run: StageRun, paths: dict[str, Path]) -> "Models":
    from cvg.sampling.models import load_models
    from cvg.training.device import chosen_device

    return load_models(
        vqgan=paths["vqgan"],
        transformers=paths["transformer"],
        critic=paths["critic"] if run.params.sample.best_of > 1 else None,
        device=chosen_device(),
    )


def _request(run: StageRun, generator: "Generator", asked: dict[str, Any]) -> "Request":
    from cvg.conditions.condition import Condition
    from cvg.sampling.generator import Request
    from cvg.sampling.request import read_action_rows, read_first_frames, read_maps

    size, extract = generator.frame_size, run.params.extract
    actions, maps, first, last = (asked[f"--{n}"] for n in ("actions", "map", "first", "last"))
    condition = Condition(
        caption=asked["--caption"],
        label=asked["--label"],
        fps=asked["--rate"],
        motion=asked["--motion"],
        actions=None if actions is None else read_action_rows(actions),
        map=(
            None
            if maps is None
            else generator.small_map(read_maps(maps, size=size, extract=extract))
        ),
    )
    return Request(
        frames=asked["--length"] or run.params.sample.frames,
        first=(
            None
            if first is None
            else read_first_frames(first, count=asked["--given"] or 1, size=size, extract=extract)
        ),
        last=(
            None
            if last is None
            else read_first_frames(last, count=1, size=size, extract=extract)[0]
        ),
        condition=condition,
        changes={
            frame: condition.with_caption(text)
            for frame, text in map(_parse_then, asked["--then"] or ())
        },
    )


def _parse_then(text: str) -> tuple[int, str]:
    frame, colon, sentence = text.partition(":")
    if not colon or not frame.strip().isdigit() or not sentence.strip():
        raise UserError(f"--then {text!r}: expected a frame and a sentence, as '24: a cat sleeps'")
    return int(frame), sentence.strip()


def _warn_of_words(generator: "Generator", request: "Request") -> None:
    conditions = [request.condition, *(request.changes or {}).values()]
    for condition in conditions:
        unknown = generator.conditioning.unknown_words(condition.caption or "")
        for word, alike in unknown.items():
            hint = f"; did you mean {' or '.join(alike)}?" if alike else ""
            sys.stderr.write(
                f"WARNING: no training caption has the word {word!r}, it is ignored{hint}\n"
            )
