"""Axis letters, and the tensor types that annotations are built from.

The same letters stand in annotations and in einops patterns:

    b batch            n position in a code sequence
    t time, in frames  v codes a position may take
    c colour channel   d width of an embedding or latent vector
    h w pixel rows and columns        ht wt, hb wb rows and columns of the top and bottom grid
    a attention heads  e width of one head    k entries of a codebook    p condition prefix

The annotations are checked in the tests (jaxtyping with beartype) and cost nothing elsewhere.
"""

from jaxtyping import Bool, Float, Float32, Int64, UInt8
from torch import Tensor

__all__ = ["Bool", "Float", "Float32", "Int64", "Tensor", "UInt8"]
