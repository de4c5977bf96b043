"""The memory of one device in training, by what lies in it."""

from dataclasses import dataclass, fields, replace
from typing import Literal

from cvg.planning.trace import StepCost
from cvg.training.group import BUCKET

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
        gradients: of all weights.
        optimizer: moments of AdamW, momentum of Muon.
        copies: the average of the weights, and the best one.
        activations: all else: what is kept for the gradient, and what is computed with, weights and
            gradients that are gathered or sent among them.
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
        strategy: ddp: all devices hold everything | fsdp2: each holds a part of parameters,
            gradients, moments and copies, and gathers what it computes with.
        devices: how many.
    """
    if strategy == "fsdp2" and devices > 1:
        return _in_parts(cost, devices)
    after = cost.update_peak
    if devices > 1:
        after = max(after, min(cost.gradients, max(4 * BUCKET, cost.largest)))
    return Memory(
        weights=cost.weights + cost.beside,
        gradients=cost.gradients,
        optimizer=cost.optimizer,
        copies=KEPT_COPIES * cost.weights,
        activations=max(cost.peak - cost.gradients, after),
    )


def _in_parts(cost: StepCost, devices: int) -> Memory:
    """Follow cvg/training/shards.py."""
    parameters = cost.weights - cost.buffers
    part = -(-parameters // devices)
    # In the end, the best weights are gathered whole.
    work = max(cost.ungraded + _gathered(cost), cost.update_peak, parameters)
    memory = Memory(
        weights=part + cost.buffers + cost.beside,
        gradients=part,
        optimizer=-(-cost.optimizer // devices),
        copies=KEPT_COPIES * (part + cost.buffers),
        activations=work,
    )
    # In the beginning, the model and its average are whole until they are cut.
    start = 2 * cost.weights + cost.beside
    return replace(memory, activations=work + max(0, start - memory.total))


def _gathered(cost: StepCost) -> int:
    """Give the bytes that are gathered at the worst moment of the backward pass.

    What is in no layer is whole, and so are its gradients. Of the layers: the weights and gradients
    of the one at work, the weights of the next, and gradients of the one before, in single
    precision, which are sent from a copy.
    """
    layers, largest = sum(cost.layers), max(cost.layers, default=0)
    rest = cost.weights - cost.buffers - layers
    if not cost.halved:
        return 2 * rest + 4 * largest
    # Layers are gathered in half precision; of the copies of one process in it there are none.
    return 2 * rest + 5 * largest // 2 - layers // 2


def checkpoint_bytes(cost: StepCost) -> int:
    """Give the bytes of a checkpoint, which the first process also has in its main memory."""
    return (1 + KEPT_COPIES) * cost.weights + cost.optimizer
