"""Weights, moments and averages in parts, one on each rank: PyTorch's `fully_shard` (FSDP2).

Source: Zhao et al. 2023, arXiv:2304.11277. Weights are gathered to compute with them; in the
backward pass gradients are averaged and dealt out. Layers are gathered one after the other, in the
forward pass and again in the backward pass, the next one while one computes; all else of a model
stays whole from the one to the other. What is not trained, such as codebooks, is whole on each
rank.
"""

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from cvg.tensors import Tensor
from cvg.training.runtime import Precision, Runtime
from cvg.training.strategy import WHOLE, Replicas


class Shards(Replicas):
    """Each rank has a part of the weights."""

    def __init__(self, runtime: Runtime) -> None:
        """Spread over the ranks of `runtime`."""
        super().__init__(runtime.ranks)
        self._mesh = init_device_mesh(runtime.device.type, (runtime.ranks.count,))
        self._parts: list[FSDPModule] = []
        # What a model gives is not changed in place anywhere here.
        warnings.filterwarnings("ignore", message=r"FSDP2-wrapped module .* returned a view")

    def spread(
        self,
        model: nn.Module,
        layers: Sequence[str] = (),
        *,
        roots: Sequence[str] = WHOLE,
        precision: Precision = "fp32",
    ) -> None:
        """Cut each parameter along its first axis."""
        # Layers are gathered in the precision of their products: autocast would keep a copy of all
        # of them in it from the forward to the backward pass.
        policy = MixedPrecisionPolicy(
            param_dtype=torch.bfloat16 if precision == "bf16" else None,
            reduce_dtype=torch.float32,
            cast_forward_inputs=False,
        )
        for name in layers:
            layer = model.get_submodule(name)
            self._parts.append(
                fully_shard(layer, mesh=self._mesh, reshard_after_forward=True, mp_policy=policy)
            )
        for name in roots:
            root = model.get_submodule(name)
            # Kept until the backward pass: between the two, a loss may look at single weights.
            self._parts.append(fully_shard(root, mesh=self._mesh, reshard_after_forward=False))

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Leave it: the backward pass has done it."""

    def settle(self) -> None:
        """Let go of gathered weights, which looks and batches that were not used leave behind."""
        for part in self._parts:
            part.reshard()

    def unite(self, model: nn.Module) -> None:
        """Put whole parameters in the place of the parts; the model is for keeping, not for use."""
        self.settle()
        for module in model.modules():
            for name, parameter in list(module.named_parameters(recurse=False)):
                setattr(module, name, nn.Parameter(self.whole(parameter.detach())))

    def whole(self, tensor: Tensor) -> Tensor:
        """Gather a tensor that lies in parts; all ranks must call this."""
        return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor

    def kept(self, node: Any) -> Any:
        """Gather one tensor after the other, to the memory of the first rank's processor."""
        if isinstance(node, DTensor):
            gathered = node.full_tensor()
            # Together, these may be more than a device can hold.
            return gathered.new_empty(0) if self._ranks.number else gathered.cpu()
        if isinstance(node, dict):
            return {key: self.kept(value) for key, value in node.items()}
        if isinstance(node, list | tuple):
            return type(node)(self.kept(value) for value in node)
        return node

    def placed(self, node: Any, *, like: Any) -> Any:
        """Cut what is in parts in `like`; what `like` does not have stays whole."""
        if isinstance(node, Tensor) and isinstance(like, DTensor):
            node = node.to(like.device)
            return distribute_tensor(node, like.device_mesh, like.placements, src_data_rank=None)
        if isinstance(node, dict) and isinstance(like, dict):
            return {key: self.placed(value, like=like.get(key)) for key, value in node.items()}
        return node
