"""Muon: steps for hidden matrices that are about equally large in all directions."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from cvg.tensors import Float, Tensor
from cvg.training.adamw import PlainOptimizer
from cvg.training.strategy import ONE_PLACE, Replicas

# Coefficients of the quintic iteration, and how often it is done (Jordan et al. 2024).
QUINTIC = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
# What makes the mean square of a step that of AdamW (Liu et al. 2025, arXiv:2502.16982, eq. 4).
LIKE_ADAMW = 0.2
# Numbers of matrices of one shape that are treated together, 64 MB: more are no faster, and with
# weights in parts each rank holds whole ones meanwhile.
TOGETHER = 2**24


class Muon(PlainOptimizer):
    """Momentum whose matrix is replaced by a nearby one with orthogonal rows or columns.

    A kernel of a convolution is the matrix that maps a patch to an output. Matrices of one shape
    are treated together. PyTorch's own takes no kernels, and always computes in bfloat16, which is
    slow where a processor lacks it (docs/decisions/0014-muon-for-hidden-matrices.md).

    Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks",
    kellerjordan.github.io/posts/muon, with Nesterov's momentum; the scale and the decay by Liu et
    al. 2025, arXiv:2502.16982.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        lr: float,
        weight_decay: float,
        momentum: float = 0.95,
        dtype: torch.dtype = torch.float32,
        strategy: Replicas = ONE_PLACE,
    ) -> None:
        """Take steps on matrices and kernels.

        Args:
            parameters: of two dimensions or more, the first being that of the outputs.
            lr: learning rate, comparable to that of AdamW.
            weight_decay: share of a weight that a step takes away, for a learning rate of 1.
            momentum: share of the gradients before that is kept.
            dtype: in which matrices are made orthogonal.
            strategy: how the weights are spread over the ranks; each makes whole matrices
                orthogonal and takes its part of the step.
        """
        self._dtype, self._strategy = dtype, strategy
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take a step along the gradients; parameters without one stay.

        Args:
            closure: computes the loss and the gradients anew; they are there already where None.

        Returns:
            the loss of the closure.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            by_shape: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    rows = len(weight)
                    columns = weight.numel() // rows
                    by_shape[rows, columns].append((weight, weight.grad))
            for (rows, columns), alike in by_shape.items():
                count = max(1, TOGETHER // (rows * columns))
                for first in range(0, len(alike), count):
                    self._step_alike(alike[first : first + count], group)
        return loss

    def _step_alike(self, alike: Sequence[tuple[Tensor, Tensor]], group: dict[str, Any]) -> None:
        """Take a step for weights of one shape, with their gradients."""
        wanted = []
        for weight, gradient in alike:
            state = self.state[weight]
            if not state:
                state["momentum"] = torch.zeros_like(weight)
            momentum = state["momentum"]
            momentum.lerp_(gradient, 1 - group["momentum"])
            mixed = self._strategy.whole(gradient.lerp(momentum, group["momentum"]))
            wanted.append(mixed.flatten(1))
        steps = orthogonal(torch.stack(wanted).to(self._dtype))
        rate = group["lr"] * LIKE_ADAMW * max(steps.shape[1:]) ** 0.5
        for (weight, _), step in zip(alike, steps, strict=True):
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            step = step.to(weight.dtype).view(weight.shape)
            weight.add_(self._strategy.placed(step, like=weight), alpha=-rate)


def orthogonal(matrices: Float[Tensor, "n r c"]) -> Float[Tensor, "n r c"]:
    """Give matrices with the same singular vectors, whose singular values are about 0.7 to 1.2.

    Those that were hundreds of times smaller than the largest stay smaller.

    Source: Jordan et al. 2024, the Newton-Schulz iteration of degree five.
    """
    a, b, c = QUINTIC
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
