"""One frame that the transformers write, such that a gradient reaches their logits.

The codes before it are given, real or written: no gradient goes back through what was drawn.
Within the frame each code sees the drawn codes of the coarser grids. In raster order it also sees
the codes before it in its own grid as they are given; in parallel order all codes of a grid are
drawn at once, as in a single round. A code is drawn by the Gumbel-max trick; the gradient passes as
if it had been a soft mixture of codebook vectors (straight-through Gumbel-softmax: Jang et al.
2017, arXiv:1611.01144, sec. 2.2).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from einops import rearrange

from cvg.conditions.batch import Conditions
from cvg.sampling.draw import gumbel
from cvg.tensors import Float, Int64, Tensor
from cvg.training.runtime import Runtime
from cvg.training.share import Share, of_all
from cvg.transformer.model import Transformer
from cvg.vqgan.quantizer import straight_through


@dataclass(frozen=True, kw_only=True)
class Imagination:
    """The transformers that write a frame, and how a gradient reaches them.

    Attributes:
        transformers: of all levels, coarse to fine.
        codebooks: vectors of each level.
        taught: levels whose logits take a gradient.
        temperature: of the softmax that the gradient passes.
        runtime: precision of the transformers; what is drawn is exact.
    """

    transformers: Mapping[str, Transformer]
    codebooks: Mapping[str, Float[Tensor, "_ d"]]
    taught: Collection[str]
    temperature: float
    runtime: Runtime

    def write(
        self,
        codes: Mapping[str, Int64[Tensor, "b t _ _"]],
        conditions: Mapping[str, Conditions],
        *,
        rng: torch.Generator,
        share: Share | None = None,
    ) -> dict[str, Float[Tensor, "b 1 d _ _"]]:
        """Write the last frame of clips; give its codebook vectors by level.

        Args:
            codes: of the frames before, and of the last frame, which is written anew.
            conditions: of the clips, as each level takes them.
            rng: where chance comes from.
            share: which clips of a batch these are, where they are not all.
        """
        written = {level: grids.clone() for level, grids in codes.items()}
        vectors = {}
        for level, model in self.transformers.items():
            rows = model.layout.predicted.rows
            with torch.set_grad_enabled(level in self.taught):
                sequence = model.layout.to_sequence(written)
                with self.runtime.autocast():
                    logits = last_logits(model, sequence, conditions[level])
                drawn = gumbel_codes(logits, temperature=self.temperature, rng=rng, share=share)
                vectors[level] = rearrange(
                    drawn @ self.codebooks[level], "b (h w) d -> b 1 d h w", h=rows
                )
            written[level][:, -1] = rearrange(drawn.argmax(-1), "b (h w) -> b h w", h=rows)
        return vectors


def gumbel_codes(
    logits: Float[Tensor, "b n v"],
    *,
    temperature: float,
    rng: torch.Generator,
    share: Share | None = None,
) -> Float[Tensor, "b n v"]:
    """Draw a code for each row, as a row of one 1 and zeros, with the gradient of a softmax."""
    share = share or of_all(len(logits))
    draws = torch.rand(share.total, *logits.shape[1:], generator=rng)[share.rows]
    noisy = logits + gumbel(draws).to(logits.device)
    hard = torch.zeros_like(noisy).scatter(-1, noisy.argmax(-1, keepdim=True), 1.0)
    return straight_through((noisy / temperature).softmax(-1), hard)


def last_logits(
    model: Transformer, sequence: Int64[Tensor, "b t m"], conditions: Conditions
) -> Float[Tensor, "b mp v"]:
    """Give the logits of the last frame, after as many frames as a clip of the training has."""
    given, frames = model.layout.num_given, sequence.shape[1]
    first = max(0, frames - 1 - model.shape.reach)
    sequence, conditions = sequence[:, first:], conditions.clip(first, frames)
    hidden = None
    if model.shape.order == "parallel":
        hidden = torch.ones_like(sequence[..., given:], dtype=torch.bool)
    return model(sequence, conditions, hidden=hidden, last=1)[:, 0].float()
