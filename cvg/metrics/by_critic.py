"""Does the critic, which has seen real videos alone, tell videos from real ones?"""

from collections.abc import Sequence

import numpy as np
import torch

from cvg.conditions.condition import Condition
from cvg.critic.score import score
from cvg.critic.sight import Sight
from cvg.critic.store import TrainedCritic
from cvg.tensors import Float, UInt8
from cvg.vqgan.model import Vqgan
from cvg.vqgan.reconstruct import encode_clips

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
            encode_clips(vqgan, clips[start : start + CLIPS_AT_ONCE]),
            conditions[start : start + CLIPS_AT_ONCE],
        )
        for start in range(0, len(clips), CLIPS_AT_ONCE)
    ]
    return torch.cat(parts).cpu().numpy()
