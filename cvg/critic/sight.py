"""What a critic sees of codes: pixels of the frozen decoder, or the codebook vectors themselves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange, repeat

from cvg.tensors import Float, Int64, Tensor
from cvg.vqgan.model import Vqgan

Input = Literal["pixels", "codes"]

# Latents of successive frames by level, coarse to fine: `[b, t, d, h, w]`.
Latents = Mapping[str, Float[Tensor, "b t d _ _"]]


@dataclass(frozen=True, kw_only=True)
class Sight:
    """The frozen VQGAN, and which side of its decoder the critic looks at."""

    vqgan: Vqgan
    input: Input

    @property
    def channels(self) -> int:
        """Channels of a picture."""
        shape = self.vqgan.shape
        return 3 if self.input == "pixels" else len(shape.levels) * shape.quantizer.code_dim

    @property
    def size(self) -> int:
        """Rows and columns of a picture."""
        shape = self.vqgan.shape
        return shape.size if self.input == "pixels" else shape.grid(shape.levels[-1])

    def look_up(self, codes: Mapping[str, Int64[Tensor, "b t _ _"]]) -> Latents:
        """Give the codebook vectors of codes."""
        vectors = self.vqgan.codebooks()
        return {
            level: rearrange(vectors[level][grid.long()], "b t h w d -> b t d h w")
            for level, grid in codes.items()
        }

    def see(self, latents: Latents) -> Float[Tensor, "b t c h w"]:
        """Give pictures; gradients pass to the latents.

        Pixels are in [-1, 1] up to over- and undershoot. Codebook vectors of a level are divided by
        their standard deviation, and repeated to the size of the finest grid.
        """
        if self.input == "pixels":
            flat = {level: grid.flatten(0, 1) for level, grid in latents.items()}
            frames = self.vqgan.decode_latents(flat)
            return frames.unflatten(0, next(iter(latents.values())).shape[:2])
        parts = []
        for level, vectors in self.vqgan.codebooks().items():
            grid = latents[level] / vectors.std()
            times = self.size // grid.shape[-1]
            parts.append(repeat(grid, "b t d h w -> b t d (h r) (w s)", r=times, s=times))
        return torch.cat(parts, dim=2)
