"""Best of n: several continuations are written, and the critic says which one goes on.

Every few frames the likeliest real one of the candidates of a video takes the place of the others,
and all go on from there in ways of their own. So videos of any length can be ranked in constant
memory. Where an amount of motion is asked, candidates that leave its range are put back: the critic
says what is real, a measure beside it what was asked. With one block as long as the video it is
rejection sampling of whole clips (as in Razavi et al. 2019, arXiv:1906.00446, sec. 3.4, by a
classifier).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch

from cvg.conditions.condition import Condition
from cvg.config import DrawParams
from cvg.critic.score import score
from cvg.critic.sight import Sight
from cvg.critic.store import TrainedCritic
from cvg.errors import UserError
from cvg.frames.pixels import changes
from cvg.sampling.decode import decode_frames
from cvg.sampling.models import Models
from cvg.sampling.rollout import Frames, Rollout, Task, in_force, roll_out
from cvg.tensors import Float, Int64, Tensor


def roll_out_best(
    models: Models, task: Task, settings: DrawParams, *, seed: int
) -> Iterator[dict[str, Int64[Tensor, "b h w"]]]:
    """Write videos as `roll_out` does, each the best of `settings.best_of` candidates.

    The first candidate draws the same numbers as a video that is written alone.

    Raises:
        UserError: there is no critic, or the videos are shorter than what it looks at.
    """
    if settings.best_of == 1:
        return roll_out(models.transformers, task, settings, seed=seed)
    return _roll_out(models, Ranker(models, task, settings), settings, seed=seed)


def _roll_out(
    models: Models, ranker: "Ranker", settings: DrawParams, *, seed: int
) -> Iterator[dict[str, Int64[Tensor, "b h w"]]]:
    rollout = Rollout(models.transformers, ranker.candidates, settings, seed=seed)
    while rollout.frames_left:
        alike = ranker.until_change(rollout.frame) or rollout.frames_left
        count = min(ranker.block, alike, rollout.frames_left)
        yield from ranker.choose([rollout.write() for _ in range(count)], rollout)


class Ranker:
    """Chooses among candidates, block after block."""

    def __init__(self, models: Models, task: Task, settings: DrawParams) -> None:
        """Prepare the candidates of videos; arguments as for `roll_out_best`."""
        self._critic = _require_critic(models, task)
        self._sight = Sight(vqgan=models.vqgan, input=self._critic.input)
        self._task, self._count, self._every = task, settings.best_of, settings.best_every
        self._motion_weight = settings.motion_weight
        self._words = models.conditioning.vocabulary
        self.candidates = repeat(task, settings.best_of)
        self._before = self._last(self.candidates.context or {})

    @property
    def block(self) -> int:
        """Frames to be written before the next choice: enough for the critic to see."""
        known = next(iter(self._before.values())).shape[1] if self._before else 0
        return max(self._every, self._critic.model.shape.frames - known)

    def until_change(self, frame: int) -> int | None:
        """Give the frames from one on that are under the same conditions; None for all."""
        later = [start for start in self._task.changes or {} if start > frame]
        return min(later) - frame if later else None

    def choose(
        self, written: Sequence[dict[str, Tensor]], rollout: Rollout
    ) -> list[dict[str, Int64[Tensor, "b h w"]]]:
        """Give the best block of each video, and let all its candidates go on from there."""
        block = {level: torch.stack([f[level] for f in written], 1) for level in written[0]}
        seen = {
            level: torch.cat([self._before[level], grids], 1) if self._before else grids
            for level, grids in block.items()
        }
        best = self._best(seen, frame=rollout.frame - 1)
        rollout.take(best.repeat_interleave(self._count))
        chosen = {level: grids[best] for level, grids in seen.items()}
        self._before = _each(self._last(chosen), self._count) or {}
        return [{level: grid[best] for level, grid in frame.items()} for frame in written]

    def _last(self, codes: Frames) -> dict[str, Tensor]:
        """Give the last frames of videos that the critic must see beside those that follow."""
        count = self._critic.model.shape.frames - 1
        return {level: grids[:, max(0, grids.shape[1] - count) :] for level, grids in codes.items()}

    def _best(self, seen: Frames, *, frame: int) -> Int64[Tensor, "b"]:
        """Give the number of the best candidate of each video, counted over all candidates."""
        if next(iter(seen.values())).shape[1] < self._critic.model.shape.frames:
            # The rest of a video that ends within a block that was too short to be judged.
            return torch.arange(0, len(self.candidates.names), self._count)
        told = in_force(self.candidates.conditions, self.candidates.changes, frame=frame)
        scores = score(self._critic, self._sight, seen, told)
        if self._motion_weight and any(condition.motion for condition in told):
            scores = scores - self._motion_weight * self._beyond_range(seen, told)
        chosen = scores.unflatten(0, (-1, self._count)).argmax(1)
        return chosen + torch.arange(0, len(scores), self._count, device=chosen.device)

    def _beyond_range(self, seen: Frames, told: Sequence[Condition]) -> Float[Tensor, "b"]:
        """Measure how far mean changes are outside of what is asked, grey levels."""
        count = next(iter(seen.values())).shape[1]
        if count < 2:
            return torch.zeros(len(told), device=next(iter(seen.values())).device)
        frames = [{level: grids[:, t] for level, grids in seen.items()} for t in range(count)]
        beyond = []
        for video, condition in zip(decode_frames(self._sight.vqgan, frames), told, strict=True):
            beyond.append(self._words.beyond(condition.motion, float(changes(video).mean())))
        device = next(iter(seen.values())).device
        return torch.tensor(beyond, dtype=torch.float32, device=device)


def repeat(task: Task, count: int) -> Task:
    """Give every video of a task `count` times in a row, under names of their own."""
    return replace(
        task,
        names=[
            f"{name} ({again})" if again else name for name in task.names for again in range(count)
        ],
        conditions=_repeated(task.conditions, count),
        context=_each(task.context, count),
        goal=_each(task.goal, count),
        changes={
            frame: _repeated(conditions, count)
            for frame, conditions in (task.changes or {}).items()
        },
    )


def _require_critic(models: Models, task: Task) -> TrainedCritic:
    if models.critic is None:
        raise UserError(
            "sample.best_of is above 1, but there is no critic to choose: run train-critic, and "
            "load what it wrote (`--critic` on the command line)"
        )
    needed, written = models.critic.model.shape.frames, task.frames - (task.goal is not None)
    if written < needed:
        raise UserError(
            f"sample.best_of is above 1: the critic looks at {needed} frames, the videos have "
            f"{written}, a goal not counted; ask for longer ones, or set sample.best_of: 1"
        )
    return models.critic


def _repeated(conditions: Sequence[Condition], count: int) -> list[Condition]:
    return [condition for condition in conditions for _ in range(count)]


def _each(frames: Frames | None, count: int) -> Mapping[str, Tensor] | None:
    if frames is None:
        return None
    return {level: grids.repeat_interleave(count, dim=0) for level, grids in frames.items()}
