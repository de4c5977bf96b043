"""The memory of one device in training, by what lies in it."""

from dataclasses import dataclass, fields
from typing import Literal

from cvg.planning.trace import StepCost

Strategy = Literal["ddp", "fsdp2"]
STRATEGIES: tuple[Strategy, ...] = ("ddp", "fsdp2")

# Of the memory of a device; the rest goes to what libraries keep and to what lies between tensors.
USABLE = 0.9
# Copies of the weights that a run keeps besides them: their average, and the best average so far.
KEPT_COPIES = 2


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes at the worst moment of a step.

    Attributes:
        weights: parameters and buffers, and the networks beside that are not the trained one.
        gradients: with DDP on several devices twice, because they are sent from a copy.
        optimizer: moments of AdamW, momentum of Muon.
        copies: the average of the weights, and the best one.
        activations: all else: what is kept for the gradient, and what is computed with.
    """

    weights: int
    gradients: int
    optimizer: int
    copies: int
    activations: int

    @property
    def total(self) -> int:
        """All of it."""
        return sum(getattr(self, field.name) for field in fields(self))


def memory_of(cost: StepCost, *, strategy: Strategy, devices: int) -> Memory:
    """Give what a device holds.

    Args:
        cost: of a step on the rows of one device.
        strategy: ddp: all devices hold everything | fsdp2: each holds a part of weights, gradients,
            moments and copies, and gathers the weights of one layer while it computes.
        devices: how many.
    """
    work = max(cost.peak, cost.gradients + cost.update_peak) - cost.gradients
    if strategy == "ddp" or devices == 1:
        return Memory(
            weights=cost.weights + cost.beside,
            gradients=cost.gradients * (1 if devices == 1 else 2),
            optimizer=cost.optimizer,
            copies=KEPT_COPIES * cost.weights,
            activations=work,
        )
    return Memory(
        weights=_share(cost.weights, devices) + cost.beside,
        gradients=_share(cost.gradients, devices),
        optimizer=_share(cost.optimizer, devices),
        copies=_share(KEPT_COPIES * cost.weights, devices),
        # The layer at work, the next one, which is on its way, and the gradient of one.
        activations=work + 3 * cost.largest,
    )


def _share(size: int, devices: int) -> int:
    return -(-size // devices)
