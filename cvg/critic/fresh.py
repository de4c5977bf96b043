"""A judge that was not in the loop: a critic trained from nothing on real against generated clips.

A critic that has taught a model may only have been fooled by it. One that begins anew and is scored
on clips that it has not seen says whether the two kinds can still be told apart: 0.5 is chance. It
is the classifier two-sample test (Lopez-Paz & Oquab 2017, arXiv:1610.06545), with the area under
the curve in place of the accuracy.
"""

import torch
import torch.nn.functional as F

from cvg.critic.auc import area_under_curve
from cvg.critic.judge import judge
from cvg.critic.model import Critic, CriticShape
from cvg.seeding import generator, seed_everything
from cvg.tensors import Float, Tensor
from cvg.training.adamw import AdamW
from cvg.training.optimizer import parameter_groups

BATCH = 32
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.05


def fresh_area(
    real: Float[Tensor, "n t c h w"],
    generated: Float[Tensor, "m t c h w"],
    *,
    shape: CriticShape,
    steps: int,
    seed: int,
) -> float:
    """Give the area under the curve of a new critic on the second half of the clips.

    Both kinds must have passed the same decoder, and the halves should be of different videos.

    Args:
        real: clips; the first half is learned from.
        generated: clips, likewise.
        shape: of the critic, which is told nothing.
        steps: of its training; the learning rate rises and falls again, by one cycle.
        seed: of weights and batches; seeds the global generator.
    """
    seed_everything(seed, "fresh critic")
    critic = Critic(shape).to(real.device)
    optimizer = AdamW(parameter_groups(critic, weight_decay=WEIGHT_DECAY), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    kinds = [
        clips.split([len(clips) // 2, len(clips) - len(clips) // 2]) for clips in (real, generated)
    ]
    for step in range(steps):
        rng = generator(seed, "fresh critic", step)
        windows = torch.cat(
            [_random_windows(learned, shape.frames, BATCH // 2, rng=rng) for learned, _ in kinds]
        )
        scores = judge(critic, windows, None).clips[:, 0]
        target = (torch.arange(BATCH, device=scores.device) < BATCH // 2).float()
        optimizer.zero_grad(set_to_none=True)
        F.binary_cross_entropy_with_logits(scores, target).backward()
        optimizer.step()
        schedule.step()
    critic.eval()
    with torch.no_grad():
        found = [
            torch.cat([judge(critic, part, None).clips.mean(1) for part in held_out.split(BATCH)])
            for _, held_out in kinds
        ]
    return area_under_curve(*(scores.cpu().numpy() for scores in found))


def _random_windows(
    clips: Float[Tensor, "n t c h w"], frames: int, count: int, *, rng: torch.Generator
) -> Float[Tensor, "b frames c h w"]:
    rows = torch.randint(len(clips), (count,), generator=rng).tolist()
    starts = torch.randint(clips.shape[1] - frames + 1, (count,), generator=rng).tolist()
    return torch.stack(
        [clips[row, start : start + frames] for row, start in zip(rows, starts, strict=True)]
    )
