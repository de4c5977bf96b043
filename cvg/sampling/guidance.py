"""Classifier-free guidance."""

from cvg.tensors import Float, Tensor


def guide(
    conditional: Float[Tensor, "b v"], unconditional: Float[Tensor, "b v"], scale: float
) -> Float[Tensor, "b v"]:
    """Push logits away from the unconditional prediction.

    Source: Ho & Salimans 2022, arXiv:2207.12598, eq. 6, with scale = 1 + w.

    Args:
        conditional: logits given the condition.
        unconditional: logits given the null condition.
        scale: 0 ignores the condition, 1 leaves `conditional` as it is, above 1 exaggerates it.
    """
    return unconditional + scale * (conditional - unconditional)
