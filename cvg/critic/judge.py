"""Judging clips that are longer than what the critic sees at once, and the loss of its verdicts."""

from dataclasses import dataclass

import torch.nn.functional as F

from cvg.conditions.batch import Conditions
from cvg.critic.examples import Examples
from cvg.critic.model import Critic
from cvg.tensors import Float, Tensor
from cvg.training.history import StepResult


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Log-odds of clips for being real; their mean over the windows is the score of a clip."""

    clips: Float[Tensor, "b windows"]
    pairs: Float[Tensor, "b windows q"]


def judge(
    critic: Critic, pictures: Float[Tensor, "b t c h w"], conditions: Conditions | None
) -> Judged:
    """Judge every `critic.shape.frames` successive pictures of clips.

    Raises:
        ValueError: the clips are shorter than that.
    """
    frames, length = critic.shape.frames, pictures.shape[1]
    if length < frames:
        raise ValueError(f"clips of {length} frames; the critic looks at {frames}")
    windows = pictures.unfold(1, frames, 1).movedim(-1, 2)
    count = windows.shape[1]
    told = None if conditions is None else conditions.repeat(count)
    judgement = critic(windows.flatten(0, 1), told)
    return Judged(
        clips=judgement.clips.unflatten(0, (-1, count)),
        pairs=judgement.pairs.unflatten(0, (-1, count)),
    )


def critic_loss(judged: Judged, examples: Examples, *, pair_weight: float) -> StepResult:
    """Give the cross-entropy of clips, in nats, and `pair_weight` times that of pairs of frames."""
    clips = _cross_entropy(judged.clips, examples.real[:, None])
    figures = {"cross_entropy": clips.detach()}
    loss = clips
    if judged.pairs.numel():
        pairs = _cross_entropy(judged.pairs, examples.pairs[:, None])
        figures["cross_entropy_pairs"] = pairs.detach()
        loss = loss + pair_weight * pairs
    return StepResult(loss=loss, figures=figures)


def _cross_entropy(scores: Float[Tensor, "*n"], real: Tensor) -> Float[Tensor, ""]:
    return F.binary_cross_entropy_with_logits(scores.float(), real.float().expand_as(scores))
