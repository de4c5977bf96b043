"""All figures of generated clips beside the real ones."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cvg.metrics.clips import Clips
from cvg.metrics.features import FeatureCache, FeatureNetwork
from cvg.metrics.frechet import frechet_distance
from cvg.metrics.intervals import interval_of_mean
from cvg.metrics.kernel import Spread, kernel_distance, spread_over_halves
from cvg.metrics.measure import CHANGES, Measured, Meter, paired_metrics
from cvg.metrics.motion import compare_motion
from cvg.metrics.networks import Networks
from cvg.metrics.scores import Protocol, Score, metric_name
from cvg.segments import Segment
from cvg.tensors import Float


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The figures of one candidate."""

    scores: dict[str, Score]
    horizon: dict[str, list[float]]  # mean over clips by predicted frame, the first one first
    per_clip: dict[str, Float[np.ndarray, "n"]]  # mean over the predicted frames
    absent: tuple[str, ...]  # a sentence for each figure that these clips do not admit


def evaluate_clips(
    real: Clips,
    generated: Clips,
    *,
    protocol: Protocol,
    networks: Networks,
    cache: FeatureCache,
) -> Evaluation:
    """Score clips against the real clips that they continue, pair by pair and as sets.

    PSNR, SSIM and LPIPS look at the predicted frames alone; they are averaged over the frames of
    a clip, then over clips. Distances of sets look at whole clips, context included.

    Args:
        real: held-out clips.
        generated: what continues the contexts of the same clips, context in front.
        protocol: how the clips were chosen; its context_frames divides context from prediction.
        networks: from `load_networks`.
        cache: of features.

    Raises:
        ValueError: the shapes differ from each other or from the protocol.
    """
    _check_shapes(real, generated, protocol)
    meter = Meter(networks=networks, cache=cache, context_frames=protocol.context_frames)
    return score_clips(
        meter.measure(real),
        meter.measure(generated, real=real),
        protocol=protocol,
        networks=networks,
    )


def evaluate_sets(
    real: Clips,
    other: Clips,
    *,
    protocol: Protocol,
    networks: Networks,
    cache: FeatureCache,
) -> Evaluation:
    """Score clips against real ones as sets alone: distances of features, and of motion; no pairs.

    Args:
        real: held-out clips.
        other: other clips.
        protocol: how the clips were chosen.
        networks: from `load_networks`.
        cache: of features.
    """
    meter = Meter(networks=networks, cache=cache, context_frames=protocol.context_frames)
    return score_sets(
        meter.measure(real), meter.measure(other), protocol=protocol, networks=networks
    )


def score_clips(
    real: Measured,
    found: Measured,
    *,
    protocol: Protocol,
    networks: Networks,
    videos: Sequence[str] | None = None,
) -> Evaluation:
    """Pool what was measured of clips that continue real ones, as `evaluate_clips` does.

    Args:
        real: of the real clips.
        found: of the others, pairs included.
        protocol: how the clips were chosen.
        networks: by which they were measured.
        videos: source video of each clip, for the confidence intervals.
    """
    metrics, absent = paired_metrics(networks, size=min(real.shape[2:4]))
    by_frame = found.pairs(metrics)
    scores = {
        name: Score(
            metric=name,
            value=float(values.mean()),
            interval=interval_of_mean(values.mean(axis=1), videos=videos, seed=protocol.seed),
            protocol=protocol,
            scored_frames="predicted",
            network=metrics[name][1],
        )
        for name, values in by_frame.items()
    }
    sets = score_sets(real, found, protocol=protocol, networks=networks)
    return Evaluation(
        scores=scores | sets.scores,
        horizon={name: values.mean(axis=0).tolist() for name, values in by_frame.items()},
        per_clip={name: values.mean(axis=1) for name, values in by_frame.items()} | sets.per_clip,
        absent=(*absent, *sets.absent),
    )


def score_sets(
    real: Measured, other: Measured, *, protocol: Protocol, networks: Networks
) -> Evaluation:
    """Pool what was measured of two sets, as `evaluate_sets` does.

    Args:
        real: of the real clips.
        other: of other clips.
        protocol: how the clips were chosen.
        networks: by which they were measured.
    """
    motion = compare_motion(real.rows[CHANGES], other.rows[CHANGES])
    scores = {
        name: Score(
            metric=name,
            value=value,
            protocol=protocol,
            scored_frames="predicted",
            notes=(motion.sentence,),
        )
        for name, value in motion.figures.items()
    }
    absent: list[str] = []
    for network in networks.of_sets:
        if reason := _not_embedded(network, real.shape, other.shape):
            absent.append(reason)
        else:
            scores |= _distances(real, other, network, protocol)
    return Evaluation(scores=scores, horizon={}, per_clip=motion.per_clip, absent=tuple(absent))


def _distances(
    real: Measured, other: Measured, network: FeatureNetwork, protocol: Protocol
) -> dict[str, Score]:
    a, b = real.features(network), other.features(network)
    made = _SetScore(protocol, network)
    distance = frechet_distance(a, b, divide_by_n=protocol.covariance == "n")
    notes = _frechet_notes(real.shape[0], other.shape[0], a, b)
    if network.per_frame:
        return made.of(f"framefd_{network.network.name}", distance, notes=notes)
    return made.of(metric_name("fvd", network.network), distance, notes=notes) | made.of(
        metric_name("kvd", network.network),
        kernel_distance(a, b),
        spread=spread_over_halves(a, b, seed=protocol.seed),
    )


@dataclass(frozen=True)
class _SetScore:
    """What the scores of two embedded sets have in common."""

    protocol: Protocol
    network: FeatureNetwork

    def of(
        self,
        metric: str,
        value: float,
        *,
        spread: Spread | None = None,
        notes: tuple[str, ...] = (),
    ) -> dict[str, Score]:
        return {
            metric: Score(
                metric=metric,
                value=value,
                protocol=self.protocol,
                scored_frames="all",
                spread=spread,
                network=self.network.network,
                resize=self.network.resize,
                notes=notes,
            )
        }


def common_fps(segments: Iterable[Segment]) -> float | None:
    """Give the rate of the segments, frames a second; None where they differ."""
    rates = {segment.fps for segment in segments}
    return rates.pop() if len(rates) == 1 else None


def _not_embedded(network: FeatureNetwork, real: Sequence[int], other: Sequence[int]) -> str:
    """Say why clips of these shapes admit no distance of features; empty where they do."""
    frames, size = real[1], min(real[2:4])
    absent = f"{network.figure} is left out: it needs"
    if frames < network.min_frames:
        return f"{absent} {network.min_frames} frames, the clips have {frames}"
    if size < network.min_size:
        return f"{absent} {network.min_size} pixels, the frames have {size}"
    fewest = min(real[0], other[0])
    return f"{absent} 2 clips a side, found {fewest}" if fewest < 2 else ""


def _frechet_notes(clips: int, others: int, a: np.ndarray, b: np.ndarray) -> tuple[str, ...]:
    notes: list[str] = []
    needed = a.shape[1] + 1
    if min(len(a), len(b)) < needed:
        notes.append(
            f"fewer than {needed}, so the covariances are not of full rank: compare with figures "
            "at the same number of clips only"
        )
    if clips != others:
        notes.append(f"{clips} real clips against {others}")
    return tuple(notes)


def _check_shapes(real: Clips, generated: Clips, protocol: Protocol) -> None:
    if real.shape != generated.shape:
        raise ValueError(f"real clips are {real.shape}, generated clips {generated.shape}")
    if not 0 <= protocol.context_frames < real.shape[1]:
        raise ValueError(
            f"context_frames is {protocol.context_frames}; expected 0 to {real.shape[1] - 1}"
        )
    found = (len(real), real.shape[1])
    if found != (protocol.clips, protocol.frames):
        raise ValueError(
            f"{found[0]} clips of {found[1]} frames, but the protocol says {protocol.clips} "
            f"of {protocol.frames}"
        )
