"""Tool behind `cvg evaluate --real --fake`: scores of videos of anyone's model."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cvg.errors import UserError
from pipeline.mapped import Launch, made_in_parts

if TYPE_CHECKING:
    from cvg.metrics.folders import Cut, NamedClips
    from cvg.metrics.published import Published
    from cvg.metrics.score_folders import FolderScorer, FolderScores
    from cvg.metrics.scores import Protocol, Score

FRAMES = 16


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What was asked for on the command line; None where nothing was said.

    Attributes:
        real: folder or array of real clips.
        fakes: of generated ones, one sample a condition in each.
        paired: whether clips of the same name belong together.
        protocol: name of a published one, which leaves nothing else to be chosen.
        frames: of a clip; of an array all, of videos 16 where nothing was said.
        stride: every n-th frame.
        size: pixels.
        fit: how frames come to be square; squash where nothing was said.
        context_frames: real frames in front of both.
        lpips: network of LPIPS.
        seed: of random starts and intervals.
    """

    real: Path
    fakes: Sequence[Path]
    paired: bool
    protocol: str | None
    frames: int | None
    stride: int | None
    size: int | None
    fit: Literal["crop", "pad", "squash"] | None
    context_frames: int | None
    lpips: Literal["alex", "vgg"]
    seed: int


@dataclass(frozen=True)
class VideosWork:
    """What was asked for, as work for several processes."""

    wish: Wish

    def open(self) -> "FolderScorer":
        """Look at the videos, and load the networks.

        Raises:
            UserError: videos are missing or do not fit each other or what was asked for.
        """
        from cvg.metrics.folders import files_digest, open_clips
        from cvg.metrics.networks import load_networks
        from cvg.metrics.score_folders import FolderScorer
        from cvg.training.device import chosen_device

        wish = self.wish
        preset = _preset(wish)
        cut, paths = _cut(wish, preset), (wish.real, *wish.fakes)
        real, *fakes = (open_clips(path, cut) for path in paths)
        if preset is not None:
            real, *fakes = (_limited(clips, preset) for clips in (real, *fakes))
        return FolderScorer(
            real,
            fakes,
            paired=wish.paired,
            protocol=_protocol(wish, preset, cut, real=real),
            networks=load_networks(lpips=wish.lpips, stage="evaluate", device=chosen_device()),
            hashes={"wish": str(wish), "data": files_digest(paths)},
        )


def evaluate_videos(wish: Wish, launch: Launch, *, scores: Path | None, out: Path | None) -> None:
    """Score, print, and write what is asked to be kept."""
    from cvg.files import refuse_foreign_folder, write_json
    from cvg.metrics.names import figure_key
    from cvg.metrics.record import MARKER, write_folder_scores

    if not wish.fakes:
        raise UserError("--real is given without --fake: name the generated videos too")
    if scores is not None:
        refuse_foreign_folder(scores, marker=MARKER)
    with _scored(wish, launch) as (found, missing):
        _print(found.evaluation.scores)
        preset = _preset(wish)
        if preset is not None:
            _tell_of(preset, samples=len(wish.fakes))
        absent = (sentence.partition(", then `dvc")[0] for sentence in missing)
        for sentence in (*found.warnings, *found.evaluation.absent, *absent):
            sys.stderr.write(f"WARNING: {sentence}\n")
        if scores is not None:
            write_folder_scores(scores, found)
        if out is not None:
            of_all = found.evaluation.scores
            write_json(out, {figure_key(name): score.value for name, score in of_all.items()})


@contextmanager
def _scored(wish: Wish, launch: Launch) -> "Iterator[tuple[FolderScores, Sequence[str]]]":
    """Give the figures, and what networks are missing; parts are kept until all is written."""
    if launch.is_alone:  # Nothing need be kept, where one may have no place to write.
        scorer = VideosWork(wish).open()
        yield scorer.score(), scorer.networks.missing
        return
    everywhere = replace(
        wish, real=wish.real.absolute(), fakes=tuple(fake.absolute() for fake in wish.fakes)
    )
    with made_in_parts("evaluate_videos", VideosWork(everywhere), launch) as (scorer, parts):
        yield scorer.join(parts), scorer.networks.missing


def _preset(wish: Wish) -> "Published | None":
    from cvg.metrics.published import published

    return published(wish.protocol) if wish.protocol else None


def _tell_of(preset: "Published", *, samples: int) -> None:
    sys.stdout.write(f"{preset.name}: {preset.used_by}. Not followed: {preset.differs}.\n")
    if samples != preset.samples:
        sys.stderr.write(
            f"WARNING: {preset.name} takes {preset.samples} samples a condition; found {samples}: "
            "the best of them is not comparable\n"
        )


def _cut(wish: Wish, preset: "Published | None") -> "Cut":
    from cvg.metrics.folders import Cut, array_frames

    if preset is None:
        return Cut(
            frames=wish.frames or array_frames(wish.real) or FRAMES,
            stride=wish.stride or 1,
            size=wish.size,
            fit=wish.fit or "squash",
            seed=wish.seed,
        )
    said = {
        "--fit": wish.fit,
        "--length": wish.frames,
        "--stride": wish.stride,
        "--size": wish.size,
        "--context-frames": wish.context_frames,
    }
    chosen = [option for option, value in said.items() if value is not None]
    if wish.paired and preset.starts == "random":
        raise UserError(
            f"--protocol {preset.name} begins each clip at a random frame, so clips of two folders "
            "are no pairs; leave --paired out"
        )
    if chosen:
        raise UserError(f"--protocol {preset.name} says {chosen[0][2:]} already; leave one out")
    return Cut(
        frames=preset.frames,
        stride=preset.stride,
        starts=preset.starts,
        size=preset.size,
        fit=preset.fit,
        seed=wish.seed,
    )


def _limited(clips: "NamedClips", preset: "Published") -> "NamedClips":
    if len(clips.names) != preset.clips:
        raise UserError(
            f"--protocol {preset.name} is of {preset.clips} clips on each side; found "
            f"{len(clips.names)}. At another number it is another figure: leave --protocol out and "
            "say --length, --size and so on"
        )
    return clips


def _protocol(
    wish: Wish, preset: "Published | None", cut: "Cut", *, real: "NamedClips"
) -> "Protocol":
    from cvg.metrics.scores import Protocol

    context = preset.context_frames if preset else (wish.context_frames or 0)
    if not 0 <= context < cut.frames:
        raise UserError(f"--context-frames is {context}; expected 0 to {cut.frames - 1}")
    protocol = Protocol(
        split=wish.real.name,
        clips=len(real.names),
        frames=cut.frames,
        context_frames=context,
        stride=cut.stride,
        starts=cut.starts,
        size=real.clips.shape[2],
        fit=cut.fit,
        fps=None,
        samples=len(wish.fakes),
        seed=wish.seed,
    )
    if preset is None:
        return protocol
    return replace(protocol, preset=preset.name, covariance="n" if preset.divide_by_n else "n - 1")


def _print(scores: "Mapping[str, Score]") -> None:
    from rich.console import Console
    from rich.table import Table

    from cvg.metrics.names import figure_key, has_direction, higher_is_better

    table = Table(title="↑ higher is better, ↓ lower", title_justify="left")
    for heading in ("", "value", "interval, or spread"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, score in scores.items():
        beside = "-"
        if score.interval is not None:
            beside = f"{score.interval.low:.4g} to {score.interval.high:.4g}"
        elif score.spread is not None:
            beside = f"± {score.spread.deviation:.3g} ({score.spread.of})"
        arrow = (" ↑" if higher_is_better(name) else " ↓") if has_direction(name) else ""
        table.add_row(f"{figure_key(name)}{arrow}", f"{score.value:.5g}", beside)
    Console().print(table)
