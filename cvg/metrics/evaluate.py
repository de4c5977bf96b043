"""All figures of generated clips beside the real ones."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from cvg.metrics.features import FeatureCache, FeatureNetwork, i3d_feature_network
from cvg.metrics.frechet import frechet_distance
from cvg.metrics.intervals import interval_of_mean
from cvg.metrics.perceptual import lpips_distance
from cvg.metrics.pixels import SSIM_WINDOW, psnr, ssim
from cvg.metrics.scores import Network, Protocol, Score, metric_name
from cvg.pretrained.catalog import I3D, LPIPS_TRUNKS
from cvg.pretrained.lpips import SMALLEST_SIZE, Lpips, Trunk, load_lpips
from cvg.pretrained.store import locate
from cvg.progress import Steps
from cvg.segments import Segment
from cvg.tensors import Float, UInt8

# The covariance of I3D's 400 logits has full rank from here on.
FULL_RANK_CLIPS = 401

PerFrame = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Networks:
    """The pretrained networks at hand; a figure whose network is absent is left out."""

    lpips: Lpips | None = None
    features: FeatureNetwork | None = None
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
    lpips_network = features = None
    if locate(LPIPS_TRUNKS[lpips]):
        lpips_network = load_lpips(lpips, device)
    else:
        missing.append(_absence(f"lpips_{lpips}", LPIPS_TRUNKS[lpips], stage))
    if with_fvd and locate(I3D):
        features = i3d_feature_network(device=device, batch_size=batch_size)
    elif with_fvd:
        missing.append(_absence("fvd", I3D, stage))
    return Networks(lpips=lpips_network, features=features, missing=tuple(missing))


def _absence(figure: str, network: str, stage: str) -> str:
    return (
        f"{figure} is left out: the network {network} is absent; run "
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
    real: UInt8[np.ndarray, "n t h w 3"],
    generated: UInt8[np.ndarray, "_ _ _ _ 3"],
    *,
    protocol: Protocol,
    networks: Networks,
    cache: FeatureCache,
    videos: Sequence[str] | None = None,
) -> Evaluation:
    """Score clips against the real clips that they continue, pair by pair and as sets.

    PSNR, SSIM and LPIPS look at the predicted frames alone; they are averaged over the frames of
    a clip, then over clips. FVD looks at whole clips, context included.

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
    future = slice(protocol.context_frames, None)
    scores: dict[str, Score] = {}
    horizon: dict[str, list[float]] = {}
    per_clip: dict[str, np.ndarray] = {}
    metrics, absent = paired_metrics(networks, size=min(real.shape[2:4]))
    for name, (metric, network) in metrics.items():
        values = metric(real[:, future], generated[:, future])
        horizon[name] = values.mean(axis=0).tolist()
        per_clip[name] = values.mean(axis=1)
        scores[name] = Score(
            metric=name,
            value=float(values.mean()),
            interval=interval_of_mean(per_clip[name], videos=videos, seed=protocol.seed),
            protocol=protocol,
            scored_frames="predicted",
            network=network,
        )
    sets = evaluate_sets(real, generated, protocol=protocol, networks=networks, cache=cache)
    return Evaluation(
        scores=scores | sets.scores,
        horizon=horizon,
        per_clip=per_clip,
        absent=(*absent, *sets.absent),
    )


def evaluate_sets(
    real: UInt8[np.ndarray, "n t h w 3"],
    other: UInt8[np.ndarray, "m t h w 3"],
    *,
    protocol: Protocol,
    networks: Networks,
    cache: FeatureCache,
) -> Evaluation:
    """Score clips against real ones as sets alone: the Frechet distance, no pairs."""
    features = networks.features
    reason = _no_frechet(real, other, features)
    if features is None or reason:
        return Evaluation(scores={}, horizon={}, per_clip={}, absent=(reason,) if reason else ())
    value = frechet_distance(cache.embed(features, real), cache.embed(features, other))
    name = metric_name("fvd", features.network)
    score = Score(
        metric=name,
        value=value,
        protocol=protocol,
        scored_frames="all",
        network=features.network,
        resize=features.resize,
        notes=_frechet_notes(len(real), len(other)),
    )
    return Evaluation(scores={name: score}, horizon={}, per_clip={}, absent=())


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


def _no_frechet(real: np.ndarray, other: np.ndarray, features: FeatureNetwork | None) -> str:
    """Say why the clips admit no Frechet distance; empty where they do, or no network is there."""
    if features is None:
        return ""
    frames, needed = real.shape[1], features.min_frames
    if frames < needed:
        return f"fvd is left out: it needs {needed} frames, the clips have {frames}"
    fewest = min(len(real), len(other))
    return f"fvd is left out: it needs 2 clips a side, found {fewest}" if fewest < 2 else ""


def _frechet_notes(num_real: int, num_other: int) -> tuple[str, ...]:
    notes: list[str] = []
    if min(num_real, num_other) < FULL_RANK_CLIPS:
        notes.append("fewer than 401 clips: compare with figures at the same number of clips only")
    if num_real != num_other:
        notes.append(f"{num_real} real clips against {num_other}")
    return tuple(notes)


def _check_shapes(real: np.ndarray, generated: np.ndarray, protocol: Protocol) -> None:
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
    cache = FeatureCache()
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
