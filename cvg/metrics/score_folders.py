"""Scores of videos of anyone's model against real ones, with the checks that a run's own get."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from cvg.errors import UserError
from cvg.metrics.clips import Clips, rows_at_once
from cvg.metrics.evaluate import (
    Evaluation,
    Networks,
    PerFrame,
    evaluate_sets,
    measure_pairs,
    paired_metrics,
)
from cvg.metrics.features import FeatureCache
from cvg.metrics.folders import NamedClips
from cvg.metrics.inspect import inspect_clips
from cvg.metrics.intervals import interval_of_mean
from cvg.metrics.kernel import Spread
from cvg.metrics.names import higher_is_better
from cvg.metrics.scores import Network, Pooling, Protocol, Score
from cvg.progress import Steps

MOST_PAIRS = 10  # of samples of a condition, for diversity: of 100 samples there are thousands
SAFE_FRAMES = 10  # nine pass the network of FVD, and hang on a single step of its last pooling


@dataclass(frozen=True, kw_only=True)
class FolderScores:
    """Figures of a model, and what is to be known of its clips.

    Attributes:
        evaluation: the figures.
        names: of the clips, whose figures `evaluation.per_clip` has where they are paired.
        warnings: sentences.
    """

    evaluation: Evaluation
    names: tuple[str, ...]
    warnings: tuple[str, ...]


def score_folders(
    real: NamedClips,
    fakes: Sequence[NamedClips],
    *,
    paired: bool,
    protocol: Protocol,
    networks: Networks,
    cache: FeatureCache,
) -> FolderScores:
    """Score generated clips.

    Args:
        real: clips.
        fakes: of each condition one sample in each; the usual case is one set.
        paired: whether generated clips continue the real ones of the same names.
        protocol: how the clips were chosen.
        networks: from `load_networks`.
        cache: of features.

    Raises:
        UserError: the clips do not fit each other.
    """
    for fake in fakes:
        _check(real, fake, paired=paired)
        if len(fake.names) != len(fakes[0].names):
            raise UserError(
                f"sets of samples hold {len(fakes[0].names)} and {len(fake.names)} clips; expected "
                "as many in each --fake, one sample of each condition"
            )
    if len(fakes[0].names) != len(real.names):
        protocol = replace(protocol, generated=len(fakes[0].names))
    warnings = list(_warnings(real, fakes, frames=protocol.frames))
    with Steps("evaluate", total=len(fakes) + paired) as progress:
        sets = []
        for fake in fakes:
            clips = _by_names(fake, real.names) if paired else fake.clips
            sets.append(
                evaluate_sets(real.clips, clips, protocol=protocol, networks=networks, cache=cache)
            )
            progress.advance(note="sets")
        found = sets[0] if len(sets) == 1 else _mean_of_sets(sets, protocol)
        if paired:
            samples = [_by_names(fake, real.names) for fake in fakes]
            found = _with_pairs(found, real, samples, protocol=protocol, networks=networks)
            progress.advance(note="pairs")
        else:
            found = replace(found, per_clip={})  # nobody has the same clips to compare with
    return FolderScores(evaluation=found, names=real.names, warnings=tuple(warnings))


def _check(real: NamedClips, fake: NamedClips, *, paired: bool) -> None:
    if real.clips.shape[1:] != fake.clips.shape[1:]:
        raise UserError(
            f"real clips are {_told(real.clips)}, generated ones {_told(fake.clips)}; bring both "
            "to the same frames and pixels (--length, --size)"
        )
    if paired and set(real.names) != set(fake.names):
        alone = sorted(set(real.names) ^ set(fake.names))
        raise UserError(
            f"--paired: {len(alone)} clips are on one side alone, {alone[0]} for one; give the "
            "same names to clips that belong together"
        )


def _warnings(real: NamedClips, fakes: Sequence[NamedClips], *, frames: int) -> Iterator[str]:
    yield from inspect_clips("real clips", real.clips)
    for number, fake in enumerate(fakes, start=1):
        name = "generated clips" if len(fakes) == 1 else f"generated clips, set {number}"
        yield from inspect_clips(name, fake.clips)
        if len(fake.names) != len(real.names):
            yield (
                f"{len(real.names)} real clips against {len(fake.names)}: a Frechet distance grows "
                "as clips get fewer, so give both sides as many"
            )
    if frames < SAFE_FRAMES:
        yield f"clips of {frames} frames: FVD is known from {SAFE_FRAMES} on"


def _told(clips: Clips) -> str:
    _, frames, height, width, _ = clips.shape
    return f"{frames} frames of {width} x {height} pixels"


@dataclass(frozen=True)
class _Reordered:
    """Clips in another order."""

    clips: Clips
    order: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.order), *self.clips.shape[1:]

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        return np.concatenate([self.clips[n : n + 1] for n in self.order[rows]])


def _by_names(clips: NamedClips, names: Sequence[str]) -> Clips:
    if clips.names == tuple(names):
        return clips.clips
    places = {name: number for number, name in enumerate(clips.names)}
    return _Reordered(clips.clips, tuple(places[name] for name in names))


def _mean_of_sets(sets: Sequence[Evaluation], protocol: Protocol) -> Evaluation:
    """Give means over sets of one sample each; how they vary is the valid spread of a distance."""
    scores = {}
    for name, score in sets[0].scores.items():
        values = [one.scores[name].value for one in sets]
        scores[name] = replace(
            score,
            value=float(np.mean(values)),
            pooling="mean",
            protocol=protocol,
            spread=Spread(
                deviation=float(np.std(values, ddof=1)),
                repeats=len(values),
                of="sample sets",
            ),
            notes=(),  # they were of the first set
        )
    return replace(sets[0], scores=scores, per_clip={})


def _with_pairs(
    found: Evaluation,
    real: NamedClips,
    samples: Sequence[Clips],
    *,
    protocol: Protocol,
    networks: Networks,
) -> Evaluation:
    """Add the figures of pairs, over several samples their mean and their best, and diversity."""
    metrics, absent = paired_metrics(networks, size=min(real.clips.shape[2:4]))
    context = protocol.context_frames
    values = [
        measure_pairs(real.clips, clips, metrics, context_frames=context) for clips in samples
    ]
    scores: dict[str, Score] = {}
    per_clip: dict[str, np.ndarray] = {}

    def add(name: str, of_clips: np.ndarray, pooling: Pooling, network: Network | None) -> None:
        scores[name] = Score(
            metric=name,
            value=float(of_clips.mean()),
            interval=interval_of_mean(of_clips, seed=protocol.seed),
            protocol=protocol,
            scored_frames="predicted",
            pooling=pooling,
            network=network,
        )
        per_clip[name] = of_clips

    for name, (_, network) in metrics.items():
        stacked = np.stack([one[name].mean(axis=1) for one in values])
        add(name, stacked.mean(axis=0), "one" if len(samples) == 1 else "mean", network)
        if len(samples) > 1:
            best = stacked.max(axis=0) if higher_is_better(name) else stacked.min(axis=0)
            add(f"{name}_best_of_{len(samples)}", best, "best", network)
    if len(samples) > 1:
        for name, of_clips in diversity(samples, metrics, context_frames=context).items():
            add(name, of_clips, "mean", metrics[name.removeprefix("diversity_")][1])
    horizon = {
        name: np.mean([one[name].mean(axis=0) for one in values], axis=0).tolist()
        for name in metrics
    }
    return Evaluation(
        scores=scores | found.scores,
        horizon=horizon,
        per_clip=per_clip | found.per_clip,
        absent=(*absent, *found.absent),
    )


def diversity(
    samples: Sequence[Clips],
    metrics: Mapping[str, tuple[PerFrame, Network | None]],
    *,
    context_frames: int,
) -> dict[str, np.ndarray]:
    """Give how far samples of one condition are from each other: LPIPS over pairs of samples.

    Args:
        samples: at least two sets of the same conditions in the same order.
        metrics: of pairs of frames; those of LPIPS are used.
        context_frames: which are the same in all, and left out.

    Returns:
        `diversity_NAME` of each condition, a mean over frames and over evenly chosen pairs,
        `MOST_PAIRS` at most; 0: all samples are alike.
    """
    pairs = list(combinations(range(len(samples)), 2))
    pairs = pairs[:: -(-len(pairs) // MOST_PAIRS)]
    chosen = {name: metric for name, (metric, _) in metrics.items() if name.startswith("lpips")}
    rows: dict[str, list[np.ndarray]] = {name: [] for name in chosen}
    for part in rows_at_once(len(samples[0])):
        futures = [clips[part][:, context_frames:] for clips in samples]
        for name, metric in chosen.items():
            distances = [metric(futures[a], futures[b]).mean(axis=1) for a, b in pairs]
            rows[name].append(np.mean(distances, axis=0))
    return {f"diversity_{name}": np.concatenate(parts) for name, parts in rows.items()}
