"""The verdict of a critic on videos of any length, as one number each."""

from collections.abc import Mapping, Sequence

import torch

from cvg.conditions.condition import Condition
from cvg.critic.judge import judge
from cvg.critic.sight import Sight
from cvg.critic.store import TrainedCritic
from cvg.tensors import Float, Int64, Tensor

CLIPS_AT_ONCE = 32


@torch.no_grad()
def score(
    critic: TrainedCritic,
    sight: Sight,
    codes: Mapping[str, Int64[Tensor, "b t _ _"]],
    conditions: Sequence[Condition],
) -> Float[Tensor, "b"]:
    """Give the mean log-odds of videos for being real, over all that the critic looks at.

    Args:
        critic: trained.
        sight: what it sees of codes.
        codes: of the videos, by level.
        conditions: of each video; what the critic is not told is not looked at.
    """
    device = next(iter(codes.values())).device
    told = critic.conditioning.gather(conditions, frames=1).to(device)
    parts = []
    # Decoded frames are large: some videos at a time.
    for rows in torch.arange(len(conditions), device=device).split(CLIPS_AT_ONCE):
        pictures = sight.see(sight.look_up({level: grids[rows] for level, grids in codes.items()}))
        parts.append(judge(critic.model, pictures, told.take(rows)).clips.mean(1))
    return torch.cat(parts)
