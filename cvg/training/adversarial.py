"""What adversaries share: penalties that hold them back, and the balance with another loss.

Sources: Mescheder et al. 2018, arXiv:1801.04406 (R1); Tseng et al. 2021, arXiv:2104.03310 (LeCam).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from cvg.tensors import Float, Float32, Tensor
from cvg.training.ranks import ALONE, Ranks

HISTORY_DECAY = 0.99  # of LeCam's running means, as published


def r1_penalty(scores: Float[Tensor, "b *n"], inputs: Float[Tensor, "..."]) -> Float[Tensor, ""]:
    """Squared length of the gradient of the summed scores at real inputs, mean over the batch.

    Source: arXiv:1801.04406, eq. 9, which weighs it with gamma / 2. A sample is what one row of
    scores is about.

    Args:
        scores: of each sample; computed from `inputs`, which require a gradient.
        inputs: what was judged; one or more successive rows a sample.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), inputs, create_graph=True)
    return gradient.square().sum() / len(scores)


def lecam_penalty(
    real: Float[Tensor, "*n"],
    generated: Float[Tensor, "*n"],
    *,
    mean_real: Float[Tensor, ""],
    mean_generated: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Squared distance of each score to the running mean of the other kind, where it is ahead.

    mean(relu(real - mean_generated)^2) + mean(relu(mean_real - generated)^2)

    Source: arXiv:2104.03310, eq. 5, in the form of its authors' code: the paper writes it without
    relu; with it, only scores on their own side of the other kind's mean are pulled back.
    """
    ahead_of_generated = F.relu(real - mean_generated)
    behind_real = F.relu(mean_real - generated)
    return ahead_of_generated.square().mean() + behind_real.square().mean()


def followed(
    history: Float32[Tensor, "3"],
    real: Float[Tensor, "*n"],
    generated: Float[Tensor, "*n"],
    *,
    ranks: Ranks = ALONE,
) -> Float32[Tensor, "3"]:
    """Give LeCam's history after these scores, and those of the other ranks.

    It holds the decayed sums of the mean scores of real and of generated samples, and of their
    weights: sum / weight is a mean that the start at 0 does not pull.
    """
    now = torch.stack([real.mean(), generated.mean(), torch.ones_like(history[2])])
    return HISTORY_DECAY * history + (1 - HISTORY_DECAY) * ranks.mean(now)


def gradient_ratio(
    loss: Float[Tensor, ""],
    adversarial: Float[Tensor, ""],
    *,
    at: Sequence[Tensor],
    ranks: Ranks = ALONE,
) -> Float[Tensor, ""]:
    """Give how much longer the gradient of a loss is than that of an adversary's, at some weights.

    Source: Esser et al. 2021, arXiv:2012.09841, eq. 7. The graph of both is kept. Of
    several ranks, each with a part of the losses, the gradients are averaged first.
    """
    lengths = []
    for one in (loss, adversarial):
        gradients = torch.autograd.grad(one, at, retain_graph=True)
        lengths.append(nn.utils.get_total_norm([ranks.mean(part) for part in gradients]))
    return (lengths[0] / (lengths[1] + 1e-6)).detach()
