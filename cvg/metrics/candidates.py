"""What is scored beside the samples: baselines to beat, and controls that say what figures mean."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from cvg.frames.samples import Samples, true_clips
from cvg.frames.store import FrameStore
from cvg.metrics.baselines import cross_fade, freeze, nearest_clips, repeat_last, shuffle_frames
from cvg.segments import Windows
from cvg.tensors import UInt8
from cvg.vqgan.model import Vqgan
from cvg.vqgan.reconstruct import reconstruct

WINDOWS_AT_ONCE = 32


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Real clips, and everything that is held against them."""

    real: UInt8[np.ndarray, "n t h w c"]
    paired: dict[str, np.ndarray]  # continue the same contexts, shaped like `real`
    unpaired: dict[str, np.ndarray]  # other sets of clips


def gather_candidates(
    store: FrameStore, samples: Samples, vqgan: Vqgan, *, seed: int, device: torch.device
) -> Candidates:
    """Build all baselines and controls for the clips of `samples`.

    - `sample`: the generated clips;
    - `baseline.repeat_last`: the last context frame, standing still;
    - `baseline.nearest`: the training clip whose first frames are most alike, copied;
    - `baseline.cross_fade`: from the last context frame to the goal, where there is one;
    - `control.reconstruction`: the true clips through the VQGAN: what its codes cost;
    - `control.real_vs_real`: as many training clips: how far real clips are from each other;
    - `control.unconditional`: what the model continued without conditions, where `samples` has it;
    - `control.shuffled`, `control.reversed`, `control.frozen`: the true clips in a wrong order of
      frames, backwards, or standing still from the first frame on: does a figure see time?

    Baselines need a context frame. A goal is real in all of them, so it is cut off.
    """
    real = true_clips(store, samples)
    context, length = samples.context_frames, real.shape[1]
    training = Windows(store.segments("train"), length=length)
    reconstructed = np.stack([reconstruct(vqgan, clip, device=device).full for clip in real])
    reconstructed[:, :context] = real[:, :context]
    others = [store.window(w.segment, w.start, w.length) for w in training.spread(len(real))]
    paired = {"sample": samples.frames}
    if context:
        paired["baseline.repeat_last"] = repeat_last(real, context_frames=context)
        batches = training_batches(store, training)
        paired["baseline.nearest"] = nearest_clips(real, batches, context_frames=context).clips
    if context and samples.goal:
        paired["baseline.cross_fade"] = cross_fade(real, context_frames=context)
    if samples.unconditional is not None:
        paired["control.unconditional"] = samples.unconditional
    paired["control.reconstruction"] = reconstructed
    kept = slice(length - samples.goal)
    return Candidates(
        real=real[:, kept],
        paired={name: clips[:, kept] for name, clips in paired.items()},
        unpaired={
            "control.real_vs_real": np.stack(others)[:, kept],
            "control.shuffled": shuffle_frames(real[:, kept], seed=seed),
            "control.reversed": np.ascontiguousarray(real[:, kept][:, ::-1]),
            "control.frozen": freeze(real[:, kept]),
        },
    )


def training_batches(store: FrameStore, windows: Windows) -> Iterator[np.ndarray]:
    """Read windows of training clips, some at a time."""
    for first in range(0, len(windows), WINDOWS_AT_ONCE):
        numbers = range(first, min(first + WINDOWS_AT_ONCE, len(windows)))
        batch = [windows[number] for number in numbers]
        yield np.stack([store.window(w.segment, w.start, w.length) for w in batch])
