"""PyTorch's optimizers without its compiler.

Some of their methods are wrapped so that torch.compile leaves them alone, and the first call of one
loads the compiler, with SymPy and Triton: that takes longer than all else that a stage loads. We
compile models and never a step, so here these methods stand as they are below their wrapping.
"""

from collections.abc import Callable
from inspect import unwrap

import torch


class PlainOptimizer(torch.optim.Optimizer):
    """The base of an optimizer whose steps are not compiled."""

    add_param_group = unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = unwrap(torch.optim.Optimizer.load_state_dict)


class AdamW(PlainOptimizer, torch.optim.AdamW):
    """AdamW of PyTorch (Loshchilov & Hutter 2019, arXiv:1711.05101)."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take a step along the gradients; see `torch.optim.AdamW`."""
        return unwrap(torch.optim.AdamW.step)(self, closure)
