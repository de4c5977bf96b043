"""The best weights of a run, and how long none were better."""

import copy
import math
from typing import Any

from torch import nn

from cvg.tensors import Tensor


class Best:
    """The averaged weights with the lowest objective so far; one that is not finite is none."""

    def __init__(self, *, objective: str) -> None:
        """Watch the validation figure called `objective`."""
        self.objective = objective
        self.value = math.inf
        self.step = 0
        self.figures: dict[str, float] = {}
        self.state: dict[str, Tensor] = {}
        self.looks_since = 0  # validations since the best one

    def offer(self, model: nn.Module, figures: dict[str, float], *, step: int) -> None:
        """Keep a copy of `model` if its figures are better than all before."""
        value = figures[self.objective]
        if not (math.isfinite(value) and value < self.value):
            self.looks_since += 1
            return
        self.value, self.step, self.figures = value, step, figures
        self.state = {}  # let go of first: memory has room for one copy
        self.state = copy.deepcopy(model.state_dict())
        self.looks_since = 0

    def state_dict(self) -> dict[str, Any]:
        """Give all that `load_state_dict` needs."""
        return {
            "value": self.value,
            "step": self.step,
            "figures": self.figures,
            "state": self.state,
            "looks_since": self.looks_since,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.value, self.step = state["value"], state["step"]
        self.figures, self.state = state["figures"], state["state"]
        self.looks_since = state["looks_since"]
