"""How the learning rate and the weight average change over a run."""

import math


def learning_rate_factor(step: int, *, warmup_steps: int, steps: int) -> float:
    """Give the factor of the learning rate: linear warm-up, then half a cosine to zero.

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5, without restarts.

    >>> [round(learning_rate_factor(s, warmup_steps=2, steps=6), 3) for s in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * progress))
