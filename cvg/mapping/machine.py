"""What of a machine shapes what is computed on it."""

from typing import Any


def computing() -> dict[str, Any]:
    """Give all of this machine that changes rounding, where PyTorch computes."""
    from cvg.training.runtime import chosen_runtime

    return chosen_runtime().traits()
