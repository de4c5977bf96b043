"""How the learning rate changes over a run."""

import math


def learning_rate_factor(
    step: int, *, warmup_steps: int, steps: int, progress: float = 0.0
) -> float:
    """Give the factor of the learning rate: linear warm-up, then half a cosine to zero.

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5, without restarts.

    Args:
        step: number of the step.
        warmup_steps: steps until the factor is 1.
        steps: of the whole run.
        progress: share of the run that is over by another measure, such as time, 0 to 1. The cosine
            follows the measure that is ahead, so that it ends at zero whichever ends first.

    >>> [round(learning_rate_factor(s, warmup_steps=2, steps=6), 3) for s in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    >>> round(learning_rate_factor(3, warmup_steps=2, steps=6, progress=5 / 6), 3)
    0.146
    """
    warmup = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    position = max(step, progress * steps)
    over = max(0.0, position - warmup_steps) / max(1, steps - warmup_steps)
    return warmup * 0.5 * (1 + math.cos(math.pi * min(1.0, over)))
