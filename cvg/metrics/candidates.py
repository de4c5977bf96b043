"""What is scored beside the samples: baselines to beat, and controls that say what figures mean."""

from collections.abc import Callable, Iterator

import numpy as np

from cvg.frames.samples import Samples, true_clips
from cvg.frames.store import FrameStore
from cvg.metrics.baselines import cross_fade, freeze, nearest_clips, repeat_last, shuffle_frames
from cvg.segments import Windows
from cvg.tensors import UInt8
from cvg.vqgan.model import Vqgan
from cvg.vqgan.reconstruct import reconstruct

REAL = "real"
RECONSTRUCTION = "control.reconstruction"
TRAINING = "control.real_vs_real"
WINDOWS_AT_ONCE = 32

Make = Callable[[slice], np.ndarray]


class Candidates:
    """Real clips, and everything that is held against them; some clips are made at a time.

    - `sample`: the generated clips;
    - `baseline.repeat_last`: the last context frame, standing still;
    - `baseline.nearest`: the training clip whose first frames are most alike, copied;
    - `baseline.cross_fade`: from the last context frame to the goal, where there is one;
    - `control.unconditional`: what the model continued without conditions, where `samples` has it;
    - `control.reconstruction`: the true clips through the VQGAN: what its codes cost;
    - `control.real_vs_real`: as many training clips: how far real clips are from each other;
    - `control.shuffled`, `control.reversed`, `control.frozen`: the true clips in a wrong order of
      frames, backwards, or standing still from the first frame on: does a figure see time?

    Baselines need a context frame. A goal is real in all of them, so it is cut off.

    Attributes:
        frames: of each clip.
        counts: clips of each set, the real ones first.
        paired: the sets that continue the contexts of the real clips.
        absent: a sentence where sets are left out.
    """

    def __init__(self, store: FrameStore, samples: Samples, vqgan: Vqgan, *, seed: int) -> None:
        """Look at what there is.

        Args:
            store: of real frames.
            samples: of a run.
            vqgan: in evaluation mode, on its device.
            seed: of the wrong order.
        """
        self._store, self._samples = store, samples
        self._vqgan, self._seed = vqgan, seed
        length, count = samples.frames.shape[1], len(samples.clips)
        self.frames = length - samples.goal
        self._training = Windows(store.segments("train"), length=length)
        self._others = self._training.spread(count)
        paired = self._paired()
        self.paired = tuple(paired)
        self._makers = {REAL: self._whole, **paired, **self._unpaired()}
        self.counts = dict.fromkeys(self._makers, count)
        self.absent: list[str] = []
        if self._others:
            self.counts[TRAINING] = len(self._others)
        else:
            self.absent.append(f"what training clips show is left out: none has {length} frames")

    def clips(self, name: str, rows: slice) -> UInt8[np.ndarray, "n t h w 3"]:
        """Make some clips of a set."""
        return np.ascontiguousarray(self._makers[name](rows)[:, : self.frames])

    def _whole(self, rows: slice) -> np.ndarray:
        """Give real clips, the goal included."""
        return true_clips(self._store, self._samples, rows)

    def _paired(self) -> dict[str, Make]:
        samples, context, real = self._samples, self._samples.context_frames, self._whole
        # Copies, because a file that is looked at cannot be written to, and PyTorch wants to.
        makers: dict[str, Make] = {"sample": lambda rows: np.array(samples.frames[rows])}
        if context:
            makers["baseline.repeat_last"] = lambda rows: repeat_last(
                real(rows), context_frames=context
            )
        if context and self._others:
            makers["baseline.nearest"] = self._nearest
        if context and samples.goal:
            makers["baseline.cross_fade"] = lambda rows: cross_fade(
                real(rows), context_frames=context
            )
        untold = samples.unconditional
        if untold is not None:
            makers["control.unconditional"] = lambda rows: np.array(untold[rows])
        return makers | {RECONSTRUCTION: self._reconstruction}

    def _unpaired(self) -> dict[str, Make]:
        def real(rows: slice) -> np.ndarray:
            return self._whole(rows)[:, : self.frames]

        training = {TRAINING: self._training_clips} if self._others else {}
        return training | {
            "control.shuffled": lambda rows: shuffle_frames(
                real(rows), seed=self._seed, first=rows.start
            ),
            "control.reversed": lambda rows: real(rows)[:, ::-1],
            "control.frozen": lambda rows: freeze(real(rows)),
        }

    def _nearest(self, rows: slice) -> np.ndarray:
        batches = training_batches(self._store, self._training)
        context = self._samples.context_frames
        return nearest_clips(self._whole(rows), batches, context_frames=context).clips

    def _reconstruction(self, rows: slice) -> np.ndarray:
        real, context = self._whole(rows), self._samples.context_frames
        device = next(self._vqgan.parameters()).device
        made = np.stack([reconstruct(self._vqgan, clip, device=device).full for clip in real])
        made[:, :context] = real[:, :context]
        return made

    def _training_clips(self, rows: slice) -> np.ndarray:
        chosen = self._others[rows]
        return np.stack([self._store.window(w.segment, w.start, w.length) for w in chosen])


def training_batches(store: FrameStore, windows: Windows) -> Iterator[np.ndarray]:
    """Read windows of training clips, some at a time."""
    for first in range(0, len(windows), WINDOWS_AT_ONCE):
        numbers = range(first, min(first + WINDOWS_AT_ONCE, len(windows)))
        batch = [windows[number] for number in numbers]
        yield np.stack([store.window(w.segment, w.start, w.length) for w in batch])
