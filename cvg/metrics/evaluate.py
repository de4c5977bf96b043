"""All figures of generated clips beside the real ones."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from cvg.metrics.clips import Clips, rows_at_once
from cvg.metrics.features import (
    FeatureCache,
    FeatureNetwork,
    features_folder,
    frame_feature_network,
    i3d_feature_network,
)
from cvg.metrics.frechet import frechet_distance
from cvg.metrics.intervals import interval_of_mean
from cvg.metrics.kernel import Spread, kernel_distance, spread_over_halves
from cvg.metrics.motion import compare_motion
from cvg.metrics.perceptual import lpips_distance
from cvg.metrics.pixels import SSIM_WINDOW, psnr, ssim
from cvg.metrics.scores import Network, Protocol, Score, metric_name
from cvg.pretrained.catalog import I3D, LPIPS_TRUNKS
from cvg.pretrained.lpips import SMALLEST_SIZE, Lpips, Trunk, load_lpips
from cvg.pretrained.store import locate
from cvg.progress import Steps
from cvg.segments import Segment
from cvg.tensors import Float, UInt8

PerFrame = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Networks:
    """The pretrained networks at hand; a figure whose network is absent is left out."""

    lpips: Lpips | None = None
    features: FeatureNetwork | None = None  # of clips
    frames: FeatureNetwork | None = None  # of single frames
    missing: tuple[str, ...] = ()  # a sentence for each absent network: which, how to get it


def load_networks(
    *,
    lpips: Trunk,
    stage: str,
    device: torch.device | str = "cpu",
    batch_size: int = 4,
    with_fvd: bool = True,
) -> Networks:
    """Load what the weights store has; `missing` says what it does not have.

    Args:
        lpips: trunk of LPIPS.
        stage: what must run again once a network has come.
        device: where they run.
        batch_size: clips at once in the network of FVD.
        with_fvd: whether the network of FVD is wanted; one that is not is not missed either.

    Raises:
        UserError: a file of the store is damaged.
    """
    missing: list[str] = []
    lpips_network = features = frames = None
    if locate(LPIPS_TRUNKS[lpips]):
        lpips_network = load_lpips(lpips, device)
        frames = frame_feature_network(lpips_network)
    else:
        missing.append(_absence(f"lpips_{lpips}", LPIPS_TRUNKS[lpips], stage, also="framefd"))
    if with_fvd and locate(I3D):
        features = i3d_feature_network(device=device, batch_size=batch_size)
    elif with_fvd:
        missing.append(_absence("fvd", I3D, stage, also="kvd"))
    return Networks(lpips=lpips_network, features=features, frames=frames, missing=tuple(missing))


def _absence(figure: str, network: str, stage: str, *, also: str) -> str:
    return (
        f"{figure} is left out, and {also}: the network {network} is absent; run "
        f"`cvg weights fetch {network}`, then `dvc repro -f --single-item {stage}`"
    )


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
    videos: Sequence[str] | None = None,
) -> Evaluation:
    """Score clips against the real clips that they continue, pair by pair and as sets.

    PSNR, SSIM and LPIPS look at the predicted frames alone; they are averaged over the frames of
    a clip, then over clips. Distances of sets look at whole clips, context included.

    Args:
        real: held-out clips.
        generated: what continues the contexts of the same clips, context in front.
        protocol: how the clips were chosen; its context_frames divides context from prediction.
        networks: from `load_networks`.
        cache: keep one for all candidates, so that the real clips are embedded once.
        videos: source video of each clip, for the confidence intervals.

    Raises:
        ValueError: the shapes differ from each other or from the protocol.
    """
    _check_shapes(real, generated, protocol)
    metrics, absent = paired_metrics(networks, size=min(real.shape[2:4]))
    by_frame = measure_pairs(real, generated, metrics, context_frames=protocol.context_frames)
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
    sets = evaluate_sets(real, generated, protocol=protocol, networks=networks, cache=cache)
    return Evaluation(
        scores=scores | sets.scores,
        horizon={name: values.mean(axis=0).tolist() for name, values in by_frame.items()},
        per_clip={name: values.mean(axis=1) for name, values in by_frame.items()} | sets.per_clip,
        absent=(*absent, *sets.absent),
    )


def measure_pairs(
    real: Clips,
    generated: Clips,
    metrics: Mapping[str, tuple[PerFrame, Network | None]],
    *,
    context_frames: int,
) -> dict[str, Float[np.ndarray, "n t"]]:
    """Give the metrics of each predicted frame of each clip; some clips are in memory at a time."""
    rows: dict[str, list[np.ndarray]] = {name: [] for name in metrics}
    for part in rows_at_once(len(real)):
        a, b = (clips[part][:, context_frames:] for clips in (real, generated))
        for name, (metric, _) in metrics.items():
            rows[name].append(metric(a, b))
    return {name: np.concatenate(parts) for name, parts in rows.items()}


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
    motion = compare_motion(real, other, first=protocol.context_frames)
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
    for network in (networks.features, networks.frames):
        if network is None:
            continue
        figure = "framefd" if network.per_frame else "fvd"
        reason = _not_embedded(figure, real, other, network)
        if reason:
            absent.append(reason)
            continue
        a, b = (cache.embed(network, clips) for clips in (real, other))
        made = _SetScore(protocol, network)
        distance = frechet_distance(a, b, divide_by_n=protocol.covariance == "n")
        notes = _frechet_notes(len(real), len(other), a, b)
        if network.per_frame:
            scores |= made.of(f"framefd_{network.network.name}", distance, notes=notes)
            continue
        scores |= made.of(metric_name("fvd", network.network), distance, notes=notes)
        scores |= made.of(
            metric_name("kvd", network.network),
            kernel_distance(a, b),
            spread=spread_over_halves(a, b, seed=protocol.seed),
        )
    return Evaluation(scores=scores, horizon={}, per_clip=motion.per_clip, absent=tuple(absent))


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


def paired_metrics(
    networks: Networks, *, size: int
) -> tuple[dict[str, tuple[PerFrame, Network | None]], list[str]]:
    """Give the metrics that frames of this size admit, and a sentence for each of the others.

    Args:
        networks: from `load_networks`.
        size: the shorter side of a frame, pixels.

    Returns:
        By its name in the protocol, each metric with the network that it rests on; and sentences
        for those that need larger frames. What `networks.missing` says is not repeated.
    """
    metrics: dict[str, tuple[PerFrame, Network | None]] = {"psnr": (psnr, None)}
    absent: list[str] = []
    if size < SSIM_WINDOW:
        absent.append(f"ssim is left out: it needs {SSIM_WINDOW} pixels, the frames have {size}")
    else:
        metrics["ssim"] = (ssim, None)
    lpips = networks.lpips
    if lpips is not None:
        network = Network(name=LPIPS_TRUNKS[lpips.net], weights_sha256=lpips.weights_sha256)
        name = metric_name(f"lpips_{lpips.net}", network)
        if size < SMALLEST_SIZE:
            absent.append(
                f"{name} is left out: it needs {SMALLEST_SIZE} pixels, the frames have {size}"
            )
        else:
            metrics[name] = (lambda a, b: lpips_distance(lpips, a, b), network)
    return metrics, absent


def common_fps(segments: Iterable[Segment]) -> float | None:
    """Give the rate of the segments, frames a second; None where they differ."""
    rates = {segment.fps for segment in segments}
    return rates.pop() if len(rates) == 1 else None


def _not_embedded(figure: str, real: Clips, other: Clips, network: FeatureNetwork) -> str:
    """Say why the clips admit no distance of features; empty where they do."""
    frames, size = real.shape[1], min(real.shape[2:4])
    if frames < network.min_frames:
        return (
            f"{figure} is left out: it needs {network.min_frames} frames, the clips have {frames}"
        )
    if size < network.min_size:
        return f"{figure} is left out: it needs {network.min_size} pixels, the frames have {size}"
    fewest = min(len(real), len(other))
    return f"{figure} is left out: it needs 2 clips a side, found {fewest}" if fewest < 2 else ""


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


def evaluate_candidates(
    real: UInt8[np.ndarray, "n t h w 3"],
    *,
    paired: Mapping[str, UInt8[np.ndarray, "n t h w 3"]],
    unpaired: Mapping[str, UInt8[np.ndarray, "m t h w 3"]],
    protocol: Protocol,
    networks: Networks,
    videos: Sequence[str] | None = None,
) -> dict[str, Evaluation]:
    """Score every candidate against the same real clips, which are embedded once.

    Args:
        real: held-out clips.
        paired: candidates that continue the same contexts: the samples, the baselines, the
            reconstruction.
        unpaired: sets without pairs, scored by FVD alone: other real clips, shuffled frames.
        protocol: how the real clips were chosen.
        networks: from `load_networks`.
        videos: source video of each clip.
    """
    cache = FeatureCache(features_folder())
    results: dict[str, Evaluation] = {}
    with Steps("evaluate", total=len(paired) + len(unpaired)) as progress:
        for name, clips in paired.items():
            results[name] = evaluate_clips(
                real, clips, protocol=protocol, networks=networks, cache=cache, videos=videos
            )
            progress.advance(note=name)
        for name, clips in unpaired.items():
            results[name] = evaluate_sets(
                real, clips, protocol=protocol, networks=networks, cache=cache
            )
            progress.advance(note=name)
    return results
