"""Where weights lie when a run has several ranks: whole on each of them, or a part on each.

Whole (`ddp`): gradients are averaged after the backward pass. PyTorch's own DistributedDataParallel
does it within, through the call of one module; here, losses take gradients of their own on the way,
and fine-tuning calls several modules.

Parts (`fsdp2`): see cvg/training/shards.py.

Checkpoints hold whole tensors, whichever way a run goes.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from cvg.tensors import Tensor
from cvg.training.ranks import ALONE, Ranks
from cvg.training.runtime import Precision, Runtime

WHOLE = ("",)  # the only root of a model that is called as a whole


class Replicas:
    """Each rank has all weights; with one rank there is nothing to be done."""

    def __init__(self, ranks: Ranks) -> None:
        """Average over `ranks`."""
        self._ranks = ranks

    def spread(
        self,
        model: nn.Module,
        layers: Sequence[str] = (),
        *,
        roots: Sequence[str] = WHOLE,
        precision: Precision = "fp32",
    ) -> None:
        """Spread the weights of a model, in place; its parameters may then be others.

        Args:
            model: whose weights are all in its roots.
            layers: names of parts of roots, each called once a pass, one after the other.
            roots: names of parts that are called, by `forward` alone; "" for all of the model.
            precision: of the products in the layers.
        """

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Average what a step has added up over the ranks."""
        self._ranks.average_gradients(parameters)

    def settle(self) -> None:
        """Let each rank have no more than its part again."""

    def unite(self, model: nn.Module) -> None:
        """Give a model whole weights again, in place."""

    def whole(self, tensor: Tensor) -> Tensor:
        """Give all of a tensor, on its device."""
        return tensor

    def kept(self, node: Any) -> Any:
        """Give a tree of dicts, lists and tuples with whole tensors, for the first rank to keep."""
        return node

    def placed(self, node: Any, *, like: Any) -> Any:
        """Keep of the whole tensors of a tree what this rank has of those of the tree `like`."""
        del like
        return node


ONE_PLACE = Replicas(ALONE)


def make_strategy(runtime: Runtime) -> Replicas:
    """Give the way of `CVG_STRATEGY`, which one process alone has no use for."""
    if runtime.ranks.count == 1 or runtime.strategy == "ddp":
        return Replicas(runtime.ranks)
    # Imported where it is used: it takes half a second.
    from cvg.training.shards import Shards

    return Shards(runtime)
