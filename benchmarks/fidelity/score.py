"""How well videos follow what they were told, read from their pixels by the exact oracle."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import UInt8

from cvg.codes.store import CodeStore
from cvg.conditions.condition import Condition
from cvg.config import SampleParams
from cvg.frames.pixels import changes
from cvg.frames.store import FrameStore
from cvg.sampling.generator import Generator, Request
from cvg.segments import Segment
from cvg.shapes.grammar import parse
from cvg.shapes.oracle import Reading, read_clip
from cvg.shapes.scene import Borders

AT_ONCE = 32
FRAMES = 16
LONG = 48
MOST_CLIPS = 200  # of one figure
Z = 1.96

Video = UInt8[np.ndarray, "t h w 3"]


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share of clips, with its Wilson interval."""

    right: int
    of: int

    @property
    def interval(self) -> tuple[float, float]:
        """Source: Wilson 1927, at 95 %."""
        if not self.of:
            return 0.0, 1.0
        p, n = self.right / self.of, self.of
        middle = (p + Z * Z / 2 / n) / (1 + Z * Z / n)
        reach = Z * math.sqrt(p * (1 - p) / n + Z * Z / 4 / n / n) / (1 + Z * Z / n)
        return middle - reach, middle + reach

    def __str__(self) -> str:
        low, high = self.interval
        value = self.right / max(1, self.of)
        return f"{100 * value:.1f} % [{100 * low:.1f}, {100 * high:.1f}] of {self.of}"


class Scorer:
    """Writes videos that held-out clips tell of, and reads them."""

    def __init__(
        self, generator: Generator, frames: FrameStore, codes: CodeStore, *, borders: Borders
    ) -> None:
        """Score the models of `generator` on the held-out clips of a store."""
        self.generator, self.frames, self.codes, self.borders = generator, frames, codes, borders
        held_out = frames.segments("held_out")
        seen = {parse(str(s.caption))[0].kind for s in frames.segments("train")}
        straight = [s for s in held_out if s.video.startswith("straight")]
        self.seen = [s for s in straight if parse(str(s.caption))[0].kind in seen]
        self.unseen = [s for s in straight if parse(str(s.caption))[0].kind not in seen]
        self.turning = [s for s in held_out if s.video.startswith("turns")]

    def write(
        self, requests: Sequence[Request], names: Sequence[str], settings: SampleParams
    ) -> Iterator[Video]:
        """Write videos, some at a time."""
        for first in range(0, len(requests), AT_ONCE):
            part = slice(first, first + AT_ONCE)
            chunks = self.generator.stream(
                requests[part], names=names[part], seed=1, settings=settings
            )
            yield from np.concatenate(list(chunks), axis=1)

    def read(self, video: Video) -> Reading:
        """Read the shape of a video."""
        return read_clip(video, 1, borders=self.borders)[0]

    def generate(
        self, segments: Sequence[Segment], settings: SampleParams, *, frames: int = FRAMES
    ) -> dict[str, Share]:
        """Make videos from captions alone, and tell what is right in them."""
        requests = [Request(frames=frames, condition=captioned(s)) for s in segments]
        rights: dict[str, list[bool]] = {}
        videos = self.write(requests, [s.video for s in segments], settings)
        for segment, video in zip(segments, videos, strict=True):
            for name, right in self._rights(segment, video).items():
                rights.setdefault(name, []).append(right)
        return {name: Share(right=sum(r), of=len(r)) for name, r in rights.items()}

    def _rights(self, segment: Segment, video: Video) -> dict[str, bool]:
        mover, found = parse(str(segment.caption))[0], self.read(video[:FRAMES])
        each = [
            shape == mover.shape and colour == mover.colour
            for shape, colour in zip(found.shapes, found.colours, strict=True)
        ]
        last = self.read(video[-FRAMES:])
        motion = mover.motion
        direction = motion is not None and found.direction == motion.direction
        alike = found.shape == mover.shape and found.colour == mover.colour
        return {
            "shape": found.shape == mover.shape,
            "colour": found.colour == mover.colour,
            "direction": direction,
            "shape, colour, direction": alike and direction,
            "all frames right": all(each),
            "frame 0 right": each[0],
            "last frame right": last.shapes[-1] == mover.shape and last.colours[-1] == mover.colour,
        }

    def wrongs(self, segments: Sequence[Segment], settings: SampleParams) -> int:
        """Count the clips that are not right, and those that are not right in all frames."""
        shares = self.generate(segments, settings)
        counted = (shares["shape, colour, direction"], shares["all frames right"])
        return sum(share.of - share.right for share in counted)

    def acted(self, segment: Segment) -> Condition:
        """Give caption and actions of a clip."""
        actions = self.frames.actions(segment, 0, segment.num_frames)
        return replace(captioned(segment), actions=actions)

    def last_error(
        self,
        segments: Sequence[Segment],
        settings: SampleParams,
        *,
        tells: Callable[[Segment], Condition],
        given: int,
    ) -> float:
        """Give the median distance from the true place in the last frame, in pixels.

        A clip in which nothing is seen counts as infinitely far.

        Args:
            segments: clips.
            settings: of sampling.
            tells: the condition of a clip.
            given: frames.
        """
        real = [self.frames.window(s, 0, FRAMES) for s in segments]
        requests = [
            Request(frames=FRAMES, first=clip[:given], condition=tells(segment))
            for clip, segment in zip(real, segments, strict=True)
        ]
        videos = self.write(requests, [s.video for s in segments], settings)
        errors = [
            self._distances(self.read(video), self.read(clip))[-1]
            for video, clip in zip(videos, real, strict=True)
        ]
        return float(np.median(np.nan_to_num(errors, nan=np.inf)))

    def _distances(self, found: Reading, true: Reading) -> np.ndarray:
        size = self.frames.size[0]
        apart = found.places - true.places
        if self.borders == Borders.WRAP:
            apart = (apart + size / 2) % size - size / 2
        return np.hypot(*apart.T)

    def overlap(self, segments: Sequence[Segment], settings: SampleParams) -> tuple[float, float]:
        """Give the mean IoU of map and shape where videos follow a map, and that of chance."""
        maps = [self.frames.maps(s, 0, FRAMES) for s in segments]
        requests = [
            Request(
                frames=FRAMES,
                condition=replace(captioned(s), map=self.generator.small_map(pictures)),
            )
            for s, pictures in zip(segments, maps, strict=True)
        ]
        videos = list(self.write(requests, [s.video for s in segments], settings))
        followed = np.mean([_iou(v, m) for v, m in zip(videos, maps, strict=True)])
        chance = np.mean([_iou(v, m) for v, m in zip(videos, maps[1:] + maps[:1], strict=True)])
        return float(followed), float(chance)

    def motion(
        self, settings: SampleParams, *, name: str, by_bucket: int
    ) -> tuple[float, list[float]]:
        """Give the rank correlation of asked and measured motion, and its mean by bucket.

        Videos of another `name` are others.
        """
        from scipy.stats import spearmanr

        buckets = self.generator.conditioning.vocabulary.num_buckets
        asked = [b for b in range(1, buckets + 1) for _ in range(by_bucket)]
        requests = [Request(frames=FRAMES, condition=Condition(motion=b, fps=10.0)) for b in asked]
        names = [f"{name} {number}" for number in range(len(asked))]
        found = [changes(video).mean() for video in self.write(requests, names, settings)]
        means = [
            float(np.mean([f for f, a in zip(found, asked, strict=True) if a == bucket]))
            for bucket in range(1, buckets + 1)
        ]
        return float(spearmanr(asked, found)[0]), means


def captioned(segment: Segment) -> Condition:
    """Give the caption of a clip, and its frame rate."""
    return Condition(caption=segment.caption, fps=segment.fps)


def bare(segment: Segment) -> Condition:
    """Give the frame rate of a clip alone."""
    return Condition(fps=segment.fps)


def with_guidance(settings: SampleParams, **scales: float) -> SampleParams:
    """Give settings with other scales of guidance."""
    changed = settings.guidance.model_copy(update=scales)
    return settings.model_copy(update={"guidance": changed})


def _iou(video: Video, maps: UInt8[np.ndarray, "t h w"]) -> float:
    """Give the intersection over union of what stands out of a video, and its map."""
    ground = np.median(video.reshape(-1, 3), axis=0)
    stands_out = np.abs(video.astype(float) - ground).max(-1) > 60
    inside = maps > 127
    union = (stands_out | inside).sum()
    return float((stands_out & inside).sum() / union) if union else 1.0
