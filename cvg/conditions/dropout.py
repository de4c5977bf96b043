"""Training the null condition: conditions are dropped for a share of the clips."""

import torch

from cvg.tensors import Int64, Tensor


def drop_conditions(
    conditions: Int64[Tensor, "b p"],
    null: Int64[Tensor, "1 p"],
    *,
    share: float,
    rng: torch.Generator,
) -> Int64[Tensor, "b p"]:
    """Replace a random `share` of the rows by the null condition.

    Source: Ho & Salimans 2022, arXiv:2207.12598, algorithm 1.
    """
    dropped = torch.rand(len(conditions), generator=rng) < share
    return torch.where(dropped[:, None], null, conditions)
