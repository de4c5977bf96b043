"""An exponential moving average of weights, which is what is validated and kept."""

import copy
from typing import Any

import torch
from torch import nn


class WeightAverage:
    """A copy of a model that follows it slowly.

    Parameters are averaged; buffers (codebooks, counters) are copied, because they are averages
    of their own or must not be mixed.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        """Start the average at the present weights; `decay` is the share kept at each step."""
        self.decay = decay
        self.updates = 0
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards `model`; early on faster, so that the start is forgotten."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for kept, new in zip(self.model.parameters(), model.parameters(), strict=True):
            kept.lerp_(new, 1 - decay)
        for kept, new in zip(self.model.buffers(), model.buffers(), strict=True):
            kept.copy_(new)

    def state_dict(self) -> dict[str, Any]:
        """Give the averaged weights and the number of updates."""
        return {"model": self.model.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.model.load_state_dict(state["model"])
        self.updates = state["updates"]
