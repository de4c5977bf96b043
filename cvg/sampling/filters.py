"""Which codes may be drawn: temperature, top-k, top-p."""

import torch

from cvg.tensors import Float, Tensor


def temper(logits: Float[Tensor, "*b v"], temperature: float) -> Float[Tensor, "*b v"]:
    """Divide logits, never probabilities: normalising would undo it.

    Raises:
        ValueError: the temperature is not above 0.
    """
    if temperature <= 0:
        raise ValueError(f"temperature must be above 0, got {temperature}; top_k = 1 is greedy")
    return logits / temperature


def keep_top_k(logits: Float[Tensor, "*b v"], k: int) -> Float[Tensor, "*b v"]:
    """Exclude all but the `k` likeliest codes (ties with the last one stay); 0 excludes none."""
    if k == 0 or k >= logits.shape[-1]:
        return logits
    least = logits.topk(k).values[..., -1:]
    return logits.masked_fill(logits < least, -torch.inf)


def keep_top_p(logits: Float[Tensor, "*b v"], p: float) -> Float[Tensor, "*b v"]:
    """Exclude all but the likeliest codes that together have probability `p`; 1 excludes none.

    Source: Holtzman et al. 2020, arXiv:1904.09751, sec. 3.1 (nucleus sampling). The code that
    crosses `p` is kept, so at least one remains.
    """
    if p >= 1:
        return logits
    ordered, codes = logits.sort(descending=True)
    probabilities = ordered.softmax(-1)
    before = probabilities.cumsum(-1) - probabilities
    excluded = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, codes, before >= p)
    return logits.masked_fill(excluded, -torch.inf)
