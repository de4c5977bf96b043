"""How the codes of a level are used."""

import math
from dataclasses import dataclass

import torch

from cvg.tensors import Int64, Tensor


@dataclass(frozen=True, kw_only=True)
class CodeUse:
    """How a level's codes are used over a pass."""

    usage: float  # share of the codebook that occurs at all, 0 to 1
    perplexity: float  # exp of the entropy of the codes, 1 to codebook_size


def code_use(counts: Int64[Tensor, "k"]) -> CodeUse:
    """Summarise how often each code occurred.

    Perplexity is k where all codes are used evenly and 1 where a single one is.
    """
    shares = counts.double() / counts.sum()
    entropy = -torch.special.xlogy(shares, shares).sum().item()
    return CodeUse(usage=(counts > 0).double().mean().item(), perplexity=math.exp(entropy))
