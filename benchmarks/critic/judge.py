"""What videos of some models are like: by judges that were not in the loop of any training."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from scipy.stats import wasserstein_distance

from cvg.codes.store import CodeStore
from cvg.config import SampleParams
from cvg.critic.fresh import fresh_area
from cvg.critic.model import CriticShape
from cvg.critic.sight import Sight
from cvg.frames.pixels import changes
from cvg.frames.store import FrameStore
from cvg.metrics.evaluate import evaluate_clips
from cvg.metrics.features import FeatureCache
from cvg.metrics.motion import SAME
from cvg.metrics.names import figure_key
from cvg.metrics.networks import Networks
from cvg.metrics.scores import Protocol
from cvg.sampling.decode import decode_frames
from cvg.sampling.models import Models
from cvg.sampling.rank import roll_out_best
from cvg.sampling.sample import continuation
from cvg.segments import Segment, Window
from cvg.shapes.grammar import parse
from cvg.shapes.oracle import read_clip
from cvg.shapes.scene import Borders
from cvg.tensors import Int64, Tensor

FRAMES, LONG = 16, 64
CLIPS, PAIRED_CLIPS, LONG_CLIPS = 96, 48, 12
ASKED_CLIPS = 16  # for each bucket of motion
AT_ONCE = 48
FRESH_STEPS = 300
Codes = Mapping[str, Int64[Tensor, "n t _ _"]]


class Judge:
    """Judges models on held-out clips, always the same ones."""

    def __init__(self, frames: FrameStore, codes: CodeStore, networks: Networks) -> None:
        """Choose clips of straight ways, whose captions say all, and the long ones."""
        held_out = codes.segments("held_out")
        straight = [s for s in held_out if s.video.startswith("straight")]
        long = [s for s in held_out if s.num_frames >= LONG]
        self._clips = [Window(s, 0, FRAMES) for s in straight[:: len(straight) // CLIPS][:CLIPS]]
        self._long = [Window(s, 0, LONG) for s in long[:LONG_CLIPS]]
        self._frames, self._codes, self._networks = frames, codes, networks
        self._cache = FeatureCache()

    def figures(
        self, models: Models, settings: SampleParams, *, seed: int, long: bool
    ) -> dict[str, float]:
        """Write videos, and measure them; `long` ones too."""
        written = self._write(models, settings, self._clips, seed=seed)
        videos, real = (_decode(models, codes) for codes in (written, self._real()))
        context = settings.context_frames
        figures = {"fresh_auc": self._fresh_area(models, written, seed=seed)}
        figures |= self._paired(videos[:: len(videos) // PAIRED_CLIPS], seed=seed, context=context)
        segments = [window.segment for window in self._clips]
        figures["all_frames_right"] = right_share(videos, segments)
        figures |= _motion(videos, real, first=context, name=FRAMES)
        figures |= self.asked(models, settings, seed=seed)
        if long:
            videos = _decode(models, self._write(models, settings, self._long, seed=seed))
            real = _decode(models, self._real(self._long))
            figures |= _motion(videos, real, first=LONG - FRAMES, name=LONG)
        return figures

    def ceiling(self, models: Models) -> float:
        """Give the share of real clips that are right in all frames after the VQGAN."""
        segments = [window.segment for window in self._clips]
        return right_share(_decode(models, self._real()), segments)

    def asked(self, models: Models, settings: SampleParams, *, seed: int) -> dict[str, float]:
        """Ask for each bucket of motion in turn; say how often it is what comes, and how far off.

        Returns:
            `motion_as_asked`, the share of videos whose mean change is in the bucket; and
            `motion_off`, by how much it misses it on average, grey levels.
        """
        vocabulary = models.transformers["top"].conditioning.vocabulary
        windows = self._clips[:: len(self._clips) // ASKED_CLIPS]
        missed = []
        for bucket in range(1, vocabulary.num_buckets + 1):
            written = self._write(models, settings, windows, seed=seed, motion=bucket)
            for video in _decode(models, written):
                change = changes(video[settings.context_frames - 1 :]).mean()
                missed.append(vocabulary.beyond(bucket, float(change)))
        return {
            "motion_as_asked": float(np.mean(np.array(missed) == 0)),
            "motion_off": float(np.mean(missed)),
        }

    def _real(self, windows: Sequence[Window] | None = None) -> Codes:
        found = [self._codes.window(w.segment, 0, w.length) for w in windows or self._clips]
        return {
            level: torch.from_numpy(np.stack([window[level] for window in found]))
            for level in (grid.level for grid in self._codes.grids)
        }

    def _write(
        self,
        models: Models,
        settings: SampleParams,
        windows: Sequence[Window],
        *,
        seed: int,
        motion: int | None = None,
    ) -> Codes:
        """Continue windows, of a bucket of motion or of none; give all codes, context in front."""
        parts = list(self._parts(models, settings, windows, seed=seed, motion=motion))
        return {level: torch.cat([part[level] for part in parts]) for level in parts[0]}

    def _parts(
        self,
        models: Models,
        settings: SampleParams,
        windows: Sequence[Window],
        *,
        seed: int,
        motion: int | None,
    ) -> Iterator[dict[str, Tensor]]:
        settings = settings.model_copy(update={"frames": windows[0].length})
        for first in range(0, len(windows), AT_ONCE):
            task = continuation(models, self._codes, windows[first : first + AT_ONCE], settings)
            if motion is not None:
                told = [replace(condition, motion=motion) for condition in task.conditions]
                task = replace(task, conditions=told)
            drawn = list(roll_out_best(models, task, settings, seed=seed))
            yield {
                level: torch.cat([context, torch.stack([f[level] for f in drawn], 1)], 1)
                for level, context in (task.context or {}).items()
            }

    def _fresh_area(self, models: Models, written: Codes, *, seed: int) -> float:
        sight = Sight(vqgan=models.vqgan, input="codes")
        shape = CriticShape(
            frames=5,
            channels=sight.channels,
            size=sight.size,
            cells=4,
            width=48,
            layers=2,
            heads=4,
            dropout=0.0,
            picture_dropout=0.0,
        )
        real, generated = (sight.see(sight.look_up(codes)) for codes in (self._real(), written))
        return fresh_area(real, generated, shape=shape, steps=FRESH_STEPS, seed=seed)

    def _paired(self, videos: np.ndarray, *, seed: int, context: int) -> dict[str, float]:
        shown = self._clips[:: len(self._clips) // len(videos)]
        real = np.stack([self._frames.window(w.segment, 0, FRAMES) for w in shown])
        protocol = Protocol(
            split="held_out",
            clips=len(real),
            frames=FRAMES,
            goal=False,
            context_frames=context,
            size=real.shape[2],
            fps=10.0,
            seed=seed,
        )
        found = evaluate_clips(
            real, videos, protocol=protocol, networks=self._networks, cache=self._cache
        )
        figures = {figure_key(name): score.value for name, score in found.scores.items()}
        lpips = next((v for name, v in found.horizon.items() if figure_key(name) == "lpips"), None)
        if lpips is not None:
            figures |= {"lpips_first": lpips[0], "lpips_last": lpips[-1]}
        return {k: v for k, v in figures.items() if k.startswith(("fvd", "lpips"))}


def right_share(videos: np.ndarray, segments: Sequence[Segment]) -> float:
    """Give the share of clips that show the shape and colour of their caption in all frames."""
    rights = []
    for video, segment in zip(videos, segments, strict=True):
        mover = parse(str(segment.caption))[0]
        found = read_clip(video, 1, borders=Borders.WRAP)[0]
        pairs = zip(found.shapes, found.colours, strict=True)
        rights.append(all(pair == (mover.shape, mover.colour) for pair in pairs))
    return float(np.mean(rights))


def _motion(videos: np.ndarray, real: np.ndarray, *, first: int, name: int) -> dict[str, float]:
    """Compare the distributions of changes that lead to the frames from `first` on."""
    written, true = (
        np.concatenate([changes(video[first - 1 :]) for video in clips]) for clips in (videos, real)
    )
    return {
        f"motion_distance_{name}": float(wasserstein_distance(written, true)),
        f"repeated_{name}": float((written < SAME).mean()),
    }


def _decode(models: Models, codes: Codes) -> np.ndarray:
    count = next(iter(codes.values())).shape[1]
    frames = [{level: grids[:, t] for level, grids in codes.items()} for t in range(count)]
    edges = [*range(0, count, AT_ONCE // 6), count]
    parts = [decode_frames(models.vqgan, frames[a:b]) for a, b in pairwise(edges)]
    return np.concatenate(parts, axis=1)
