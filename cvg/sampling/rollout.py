"""From conditions and first frames to the frames after them, in codes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from einops import rearrange

from cvg.conditions.condition import Condition
from cvg.config import DrawParams
from cvg.sampling.draw import Dice
from cvg.sampling.guidance import Guidance
from cvg.sampling.writer import LevelWriter, spread_conditions
from cvg.tensors import Int64, Tensor
from cvg.transformer.decoder import Decoder
from cvg.transformer.model import Goal
from cvg.transformer.packing import pack
from cvg.transformer.store import TrainedTransformer

# Codes of one frame, `[b, h, w]`, or of successive ones, `[b, t, h, w]`, by level.
Frames = Mapping[str, Int64[Tensor, "..."]]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be written: several videos of one length.

    Attributes:
        names: the random numbers of a video follow from the seed and its name.
        conditions: of each video, from its first frame on.
        frames: of each video, context included.
        context: codes of the first frames, each level, `[b, t, h, w]`; None starts from nothing.
        goal: codes of the last frame, each level, `[b, h, w]`; None leaves the end open.
        changes: other conditions from a frame on, by the number of the frame.
    """

    names: Sequence[str]
    conditions: Sequence[Condition]
    frames: int
    context: Frames | None = None
    goal: Frames | None = None
    changes: Mapping[int, Sequence[Condition]] | None = None

    @property
    def given(self) -> int:
        """Frames of the context."""
        return 0 if self.context is None else next(iter(self.context.values())).shape[1]


def in_force(first: T, changes: Mapping[int, T] | None, *, frame: int) -> T:
    """Give what holds at a frame, of what holds at first and what follows it from frames on.

    >>> in_force("slow", {4: "fast", 9: "slow"}, frame=5)
    'fast'
    """
    changed = [start for start in changes or {} if start <= frame]
    return (changes or {})[max(changed)] if changed else first


class Rollout:
    """Videos that are being written, frame after frame.

    What is kept in memory does not grow with their number of frames.
    """

    def __init__(
        self,
        transformers: Mapping[str, TrainedTransformer],
        task: Task,
        settings: DrawParams,
        *,
        seed: int,
    ) -> None:
        """Begin after the context.

        Args:
            transformers: of all levels, coarse to fine.
            task: what is to be written.
            settings: temperature, filters, guidance.
            seed: root seed.
        """
        self.task = task
        self.frame = task.given
        self._writers = [_begin(one, task, settings, seed=seed) for one in transformers.values()]

    @property
    def frames_left(self) -> int:
        """Frames to be written, the goal not counted."""
        return self.task.frames - (self.task.goal is not None) - self.frame

    def write(self) -> dict[str, Int64[Tensor, "b h w"]]:
        """Write the next frame; give its codes, each level."""
        if self.task.changes and self.frame in self.task.changes:
            for writer in self._writers:
                writer.change(self.task.changes[self.frame])
        self.frame += 1
        return _write_frame(self._writers, count=len(self.task.names))

    def take(self, videos: Int64[Tensor, "b"]) -> None:
        """Let each video go on from where another one is, by their numbers."""
        for writer in self._writers:
            writer.take(videos)


def roll_out(
    transformers: Mapping[str, TrainedTransformer],
    task: Task,
    settings: DrawParams,
    *,
    seed: int,
) -> Iterator[dict[str, Int64[Tensor, "b h w"]]]:
    """Write the frames after the context, and before the goal, one after the other.

    Arguments as for `Rollout`.

    Yields:
        the codes of the next frame, each level.
    """
    rollout = Rollout(transformers, task, settings, seed=seed)
    while rollout.frames_left:
        yield rollout.write()


def _begin(
    transformer: TrainedTransformer,
    task: Task,
    settings: DrawParams,
    *,
    seed: int,
) -> LevelWriter:
    """Give the writer of a level, after the context."""
    layout, conditioning = transformer.model.layout, transformer.conditioning
    device = transformer.model.device
    scales = settings.guidance.model_dump()
    guidance = Guidance({kind: scales[kind] for kind in conditioning.kinds})
    goal = None
    if task.goal is not None:
        frames = {level: grids[:, None] for level, grids in task.goal.items()}
        codes = layout.to_sequence(frames)[:, 0]
        goal = Goal(codes=guidance.repeat(codes), time=task.frames - 1)
    conditions = spread_conditions(conditioning, guidance, task.conditions, device=device)
    decoder = Decoder(pack(transformer.model, settings.packing), conditions, goal=goal)
    if task.context is not None:
        decoder.prefill(guidance.repeat(layout.to_sequence(task.context)))
    level = layout.predicted.level
    return LevelWriter(
        decoder,
        conditioning,
        guidance,
        settings,
        dice=Dice(seed, task.names, level=level, device=device),
    )


def _write_frame(
    writers: Sequence[LevelWriter], *, count: int
) -> dict[str, Int64[Tensor, "b h w"]]:
    """Write one frame, coarse to fine; each level is given the levels above it."""
    written = torch.empty(count, 0, dtype=torch.int64, device=writers[0].device)
    grids: dict[str, Int64[Tensor, "b h w"]] = {}
    for writer in writers:
        predicted = writer.write(written)
        written = torch.cat([written, predicted], dim=1)
        grid = writer.layout.predicted
        grids[grid.level] = rearrange(predicted, "b (h w) -> b h w", h=grid.rows)
    return grids
