"""How well the VQGAN reconstructs held-out frames, and how its codes are used there."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from cvg.codes.use import code_use
from cvg.config import CheckVqganParams
from cvg.errors import UserError
from cvg.frames.store import FrameStore
from cvg.metrics.evaluate import Evaluation, common_fps, evaluate_sets
from cvg.metrics.features import FeatureCache
from cvg.metrics.flips import Flips
from cvg.metrics.measure import PerFrame, paired_metrics
from cvg.metrics.names import figure_key
from cvg.metrics.networks import Networks
from cvg.metrics.scores import Protocol
from cvg.progress import Steps
from cvg.segments import Windows
from cvg.vqgan.model import Vqgan
from cvg.vqgan.reconstruct import Reconstructed, reconstruct

FRAMES_AT_ONCE = 64
FRAMES_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class ReconstructionFigures:
    """Figures over all held-out frames."""

    # Means of psnr (dB), ssim and lpips: those that could be computed. `psnr_top` and the like are
    # of the frames decoded from the levels up to and including that one.
    quality: dict[str, float]
    codes: dict[str, dict[str, float]]  # usage, perplexity, still and flips of each level
    counts: dict[str, np.ndarray]  # how often each code of a level occurs, int64 [k]
    shown: dict[str, np.ndarray]  # some frames: original, full, top, ...; uint8 [m, h, w, 3]
    absent: list[str]  # a sentence for each figure that these frames do not admit


def measure_reconstruction(
    store: FrameStore, vqgan: Vqgan, networks: Networks, *, device: torch.device
) -> ReconstructionFigures:
    """Reconstruct every held-out frame once.

    Args:
        store: holds the frames.
        vqgan: on `device`, in evaluation mode.
        networks: from `load_networks`.
        device: where to compute.

    Raises:
        UserError: there is no held-out frame.
    """
    num_frames = store.num_frames("held_out")
    if num_frames == 0:
        raise UserError(
            f"{store.folder}: found no held-out frame, expected some to check the VQGAN on; raise "
            "extract.held_out"
        )
    pairs, absent = paired_metrics(networks, size=min(store.size))
    metrics = {figure_key(name): metric for name, (metric, _) in pairs.items()}
    books = vqgan.codebooks()
    counts = {level: np.zeros(len(book), np.int64) for level, book in books.items()}
    sums: dict[str, float] = {}
    flips = Flips()
    for frames, result, follows in _held_out_batches(store, vqgan, device):
        for name, total in _totals(frames, result, metrics).items():
            sums[name] = sums.get(name, 0.0) + total
        for level, codes in result.codes.items():
            counts[level] += np.bincount(codes.ravel(), minlength=len(counts[level]))
        flips.add(frames, result.codes, follows=follows)
    use = {level: vars(code_use(torch.from_numpy(count))) for level, count in counts.items()}
    steadiness = flips.figures()
    return ReconstructionFigures(
        quality={name: total / num_frames for name, total in sums.items()},
        codes={level: figures | steadiness[level] for level, figures in use.items()},
        counts=counts,
        shown=_examples(store, vqgan, device),
        absent=[*absent, *_never_still(steadiness)],
    )


def measure_clips(
    store: FrameStore,
    vqgan: Vqgan,
    networks: Networks,
    *,
    params: CheckVqganParams,
    seed: int,
    device: torch.device,
) -> Evaluation:
    """Compare held-out clips with what their codes hold, as sets: reconstruction FVD and others.

    Every frame passes the codes; there is no context. The clips are spread evenly over all
    held-out windows.

    Args:
        store: holds the frames.
        vqgan: on `device`, in evaluation mode.
        networks: from `load_networks`; without the network of FVD nothing is computed.
        params: number and length of the clips.
        seed: of the run, for the protocol.
        device: where to compute.
    """
    if networks.features is None:
        return _no_figure()
    segments = store.segments("held_out")
    windows = Windows(segments, length=params.frames).spread(params.clips)
    if not windows:
        longest = max((segment.num_frames for segment in segments), default=0)
        return _no_figure(
            f"fvd is left out: no held-out segment has check_vqgan.frames = {params.frames} "
            f"frames, the longest has {longest}"
        )
    if len(windows) < params.clips:
        sys.stderr.write(
            f"WARNING: check_vqgan.clips is {params.clips}, but the held-out segments have only "
            f"{len(windows)} windows of {params.frames} frames\n"
        )
    real = np.stack([store.window(w.segment, w.start, w.length) for w in windows])
    decoded = np.stack([reconstruct(vqgan, clip, device=device).full for clip in real])
    protocol = Protocol(
        split="held_out",
        clips=len(windows),
        frames=params.frames,
        context_frames=0,
        size=min(store.size),
        fps=common_fps(segments),
        seed=seed,
    )
    return evaluate_sets(real, decoded, protocol=protocol, networks=networks, cache=FeatureCache())


def _held_out_batches(
    store: FrameStore, vqgan: Vqgan, device: torch.device
) -> Iterator[tuple[np.ndarray, Reconstructed, bool]]:
    """Yield frames, what their codes hold, and whether they follow the frames before them."""
    with Steps("check the VQGAN", total=store.num_frames("held_out")) as progress:
        for segment in store.segments("held_out"):
            for start in range(0, segment.num_frames, FRAMES_AT_ONCE):
                length = min(FRAMES_AT_ONCE, segment.num_frames - start)
                frames = store.window(segment, start, length)
                yield frames, reconstruct(vqgan, frames, device=device), start > 0
                progress.advance(length)


def _totals(
    frames: np.ndarray, result: Reconstructed, metrics: Mapping[str, PerFrame]
) -> dict[str, float]:
    """Sum each metric over the frames, for every prefix of the levels."""
    finest = list(result.prefixes)[-1]
    return {
        name if level == finest else f"{name}_{level}": float(
            metric(frames[None], picture[None]).sum()
        )
        for name, metric in metrics.items()
        for level, picture in result.prefixes.items()
    }


def _never_still(steadiness: Mapping[str, Mapping[str, float]]) -> list[str]:
    return [
        f"codes.{level}.flips is left out: no cell stands still from one held-out frame to the next"
        for level, figures in steadiness.items()
        if "flips" not in figures
    ]


def _no_figure(*reasons: str) -> Evaluation:
    return Evaluation(scores={}, horizon={}, per_clip={}, absent=reasons)


def _examples(store: FrameStore, vqgan: Vqgan, device: torch.device) -> dict[str, np.ndarray]:
    """Reconstruct a few held-out frames, spread evenly, for people to look at."""
    windows = Windows(store.segments("held_out"), length=1).spread(FRAMES_SHOWN)
    frames = np.concatenate([store.window(w.segment, w.start, w.length) for w in windows])
    result = reconstruct(vqgan, frames, device=device)
    *coarser, _ = result.prefixes.items()
    return {"original": frames, "full": result.full} | dict(coarser)
