"""What changes the weights: Muon for hidden matrices, AdamW for all else."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from cvg.config import TrainingParams
from cvg.tensors import Tensor
from cvg.training.adamw import AdamW
from cvg.training.muon import Muon
from cvg.training.runtime import Runtime
from cvg.training.strategy import ONE_PLACE, Replicas

BETAS = (0.9, 0.99)


class Optimizer:
    """AdamW, and Muon beside it where there are matrices and `muon_scale` asks for it."""

    def __init__(
        self,
        model: nn.Module,
        matrices: Sequence[Tensor],
        params: TrainingParams,
        runtime: Runtime,
        strategy: Replicas = ONE_PLACE,
    ) -> None:
        """Begin for a model.

        Args:
            model: what is trained.
            matrices: those of its parameters that Muon can take.
            params: weight decay, and the learning rate of Muon beside that of AdamW.
            runtime: the precision of products.
            strategy: how the weights are spread over the ranks.
        """
        self._strategy = strategy
        self._scales: dict[str, float] = {}
        self._optimizers: dict[str, torch.optim.Optimizer] = {}
        taken: Sequence[Tensor] = ()
        if matrices and params.muon_scale is not None:
            taken = matrices
            muon = Muon(
                matrices,
                lr=0.0,
                weight_decay=params.weight_decay,
                dtype=torch.float32 if runtime.precision == "fp32" else torch.bfloat16,
                strategy=strategy,
            )
            self._add("muon", muon, scale=params.muon_scale)
        groups = parameter_groups(model, weight_decay=params.weight_decay, but=taken)
        self._add("adamw", AdamW(groups, lr=0.0, betas=BETAS), scale=1.0)

    def set_learning_rate(self, rate: float) -> None:
        """Take the next steps at a learning rate."""
        for name, optimizer in self._optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = rate * self._scales[name]

    def zero_grad(self) -> None:
        """Let go of all gradients."""
        for optimizer in self._optimizers.values():
            optimizer.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Take a step along the gradients."""
        for optimizer in self._optimizers.values():
            optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """Give the state, by optimizer."""
        return {name: one.state_dict() for name, one in self._optimizers.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        for name, optimizer in self._optimizers.items():
            optimizer.load_state_dict(state[name])
            for parameter, moments in optimizer.state.items():
                for moment, value in moments.items():
                    if value.shape == parameter.shape:
                        moments[moment] = self._strategy.placed(value, like=parameter)

    def _add(self, name: str, optimizer: torch.optim.Optimizer, *, scale: float) -> None:
        self._optimizers[name], self._scales[name] = optimizer, scale


def parameter_groups(
    model: nn.Module, *, weight_decay: float, but: Sequence[Tensor] = ()
) -> list[dict[str, object]]:
    """Decay matrices, kernels and tables; biases, norms and single vectors are left alone.

    Args:
        model: whose trained parameters are grouped.
        weight_decay: of the first group.
        but: parameters that are left out.
    """
    left_out = {id(parameter) for parameter in but}
    ours = [p for p in model.parameters() if p.requires_grad and id(p) not in left_out]
    return [
        {"params": [p for p in ours if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in ours if p.ndim < 2], "weight_decay": 0.0},
    ]
