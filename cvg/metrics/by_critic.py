"""Does the critic, which has seen real videos alone, tell videos from real ones?"""

from collections.abc import Sequence

import numpy as np
import torch
from einops import rearrange

from cvg.conditions.condition import Condition
from cvg.critic.score import score
from cvg.critic.sight import Sight
from cvg.critic.store import TrainedCritic
from cvg.frames.pixels import to_channels_first, to_unit
from cvg.tensors import Float, Tensor, UInt8
from cvg.vqgan.model import Vqgan

CLIPS_AT_ONCE = 16


def critic_scores(
    critic: TrainedCritic,
    vqgan: Vqgan,
    clips: UInt8[np.ndarray, "n t h w 3"],
    conditions: Sequence[Condition],
) -> Float[np.ndarray, "n"]:
    """Give the critic's mean log-odds for clips being real, as their codes show them.

    Raises:
        ValueError: the clips have fewer frames than the critic looks at.
    """
    sight = Sight(vqgan=vqgan, input=critic.input)
    parts = [
        score(
            critic,
            sight,
            _encode(vqgan, clips[start : start + CLIPS_AT_ONCE]),
            conditions[start : start + CLIPS_AT_ONCE],
        )
        for start in range(0, len(clips), CLIPS_AT_ONCE)
    ]
    return torch.cat(parts).cpu().numpy()


@torch.no_grad()
def _encode(vqgan: Vqgan, clips: np.ndarray) -> dict[str, Tensor]:
    device = next(vqgan.parameters()).device
    frames = torch.from_numpy(rearrange(clips, "b t h w c -> (b t) h w c")).to(device)
    codes = vqgan.encode(to_channels_first(to_unit(frames)))
    return {
        level: rearrange(grids, "(b t) h w -> b t h w", b=len(clips))
        for level, grids in codes.items()
    }
