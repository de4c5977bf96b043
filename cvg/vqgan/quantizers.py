"""Which quantizer a level has."""

import math
from dataclasses import dataclass
from typing import Literal, assert_never

from cvg.vqgan.ema import EmaQuantizer, EmaSettings
from cvg.vqgan.fsq import FsqQuantizer
from cvg.vqgan.quantizer import Quantizer


@dataclass(frozen=True, kw_only=True)
class QuantizerShape:
    """Everything that rebuilds a quantizer; each kind looks at its own fields only.

    Raises:
        ValueError: kind is fsq, and codebook_size is not the product of fsq_levels.
    """

    kind: Literal["ema", "fsq"]
    codebook_size: int  # number of codes
    code_dim: int  # ema: width of a vector (fsq: as many as fsq_levels has)
    decay: float  # ema: share of the running sums kept at each training step
    restart_below: float  # ema: a code of less than this share of the mean utility is restarted
    normalize: bool  # ema: latents and vectors of length 1
    fsq_levels: tuple[int, ...]  # fsq: number of values of each coordinate

    def __post_init__(self) -> None:
        codes = math.prod(self.fsq_levels)
        if self.kind == "fsq" and codes != self.codebook_size:
            raise ValueError(
                f"codebook_size is {self.codebook_size}, expected {codes}, the product of "
                f"fsq_levels {list(self.fsq_levels)}"
            )


def make_quantizer(shape: QuantizerShape, *, name: str, rate_weight: float = 0.0) -> Quantizer:
    """Make a quantizer, its codebook still empty where it has one.

    Args:
        shape: kind and sizes.
        name: the level, for messages.
        rate_weight: ema: of the cost of seldom codes, in mean squared errors a nat; 0: none.

    Raises:
        UserError: `fsq_levels` cannot be trained.
    """
    match shape.kind:
        case "ema":
            return EmaQuantizer(
                name=name,
                codebook_size=shape.codebook_size,
                code_dim=shape.code_dim,
                settings=EmaSettings(
                    decay=shape.decay,
                    restart_below=shape.restart_below,
                    rate_weight=rate_weight,
                    normalize=shape.normalize,
                ),
            )
        case "fsq":
            return FsqQuantizer(name=name, fsq_levels=shape.fsq_levels)
        case unknown:
            assert_never(unknown)
