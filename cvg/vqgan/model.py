"""The hierarchical VQGAN of single frames: encoders, a codebook a level, one decoder.

    frame --encoder--> fine features --descent--> coarse features
                            |                           | quantize: top codes
                            |                         rise
                            +---------- joined ---------+
                                  | quantize: bottom codes
                                  +------- decoder -------> frame

Drawn with two levels; there may be one or three. The wiring is that of VQ-VAE-2 (Razavi et al.
2019, arXiv:1906.00446, fig. 2). Unusual here: the network works on space-to-depth blocks of the
frame, which is far cheaper than convolving at full resolution; and the finer levels can be dropped
for single samples, so that the coarser ones must carry a picture alone. Every prefix of the levels
can therefore be decoded.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.backends import cudnn

from cvg.tensors import Float, Int64, Tensor
from cvg.training.ranks import Ranks
from cvg.vqgan.layers import Norm, double, halve, make_norm, residual_blocks
from cvg.vqgan.quantizer import Quantized, Quantizer
from cvg.vqgan.quantizers import QuantizerShape, make_quantizer


@dataclass(frozen=True, kw_only=True)
class VqganShape:
    """Everything that rebuilds the network."""

    size: int  # height and width of a frame, pixels
    levels: tuple[str, ...]  # names, coarse to fine
    width: int
    blocks: int
    stem: int  # space-to-depth factor at the input
    halvings: int  # by which the encoder comes from there to the finest grid
    norm: Norm
    quantizer: QuantizerShape
    rate_weights: tuple[float, ...]  # what a seldom code costs at each level

    def grid(self, level: str) -> int:
        """Give the rows and columns of a level's codes: half of those of the next finer level."""
        coarser_by = len(self.levels) - 1 - self.levels.index(level)
        return self.size // (self.stem * 2 ** (self.halvings + coarser_by))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "VqganShape":
        """Rebuild a shape that was stored as JSON."""
        quantizer = value["quantizer"]
        quantizer = QuantizerShape(
            **{**quantizer, "fsq_levels": tuple(quantizer["fsq_levels"])},
        )
        lists = {name: tuple(value[name]) for name in ("levels", "rate_weights")}
        return cls(**{**value, **lists, "quantizer": quantizer})


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """Frames through all codebooks, with what training needs."""

    frames: Float[Tensor, "b c h w"]
    levels: dict[str, Quantized]  # coarse to fine

    @property
    def codes(self) -> dict[str, Int64[Tensor, "b _ _"]]:
        """The codes of each level."""
        return {level: quantized.codes for level, quantized in self.levels.items()}


class Coder(nn.Module):
    """One level: from features to codes, and from codes to what the decoder is given."""

    def __init__(self, shape: VqganShape, *, level: str, refines: bool) -> None:
        """Make the level called `level`; `refines` where there are coarser ones."""
        super().__init__()
        width, code_dim = shape.width, shape.quantizer.code_dim
        join = [
            nn.Conv2d(2 * width, width, 1),
            residual_blocks(width, min(shape.blocks, 1), shape.norm),
        ]
        self.to_latents = nn.Sequential(
            *(join if refines else []),
            # A fixed grid of values needs latents of a known size. A codebook takes them as they
            # are: a norm would blow up what little differs where nothing is to be seen.
            *([make_norm(shape.norm, width)] if shape.quantizer.kind == "fsq" else []),
            nn.Conv2d(width, code_dim, 1),
        )
        rate_weight = shape.rate_weights[shape.levels.index(level)]
        self.quantizer = make_quantizer(shape.quantizer, name=level, rate_weight=rate_weight)
        self.from_latents = nn.Conv2d(code_dim, width, 3, padding=1)

    def forward(
        self, features: Float[Tensor, "b d h w"], coarser: Float[Tensor, "b d h w"] | None
    ) -> Quantized:
        """Quantize features, seen together with what the coarser levels say already."""
        seen = features if coarser is None else torch.cat([features, coarser], dim=1)
        return self.quantizer(self.to_latents(seen))

    def detail(self, latents: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """Give what latents add to the decoder's input."""
        # Convolutions of other memory layouts differ in the last bit; latents that were looked up
        # must give what the same latents gave in training.
        return self.from_latents(latents.contiguous())


class Vqgan(nn.Module):
    """Frames in [-1, 1] to codes and back."""

    def __init__(self, shape: VqganShape) -> None:
        """Build the networks with untrained weights and empty codebooks."""
        super().__init__()
        self.shape = shape
        width, blocks = shape.width, shape.blocks
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(shape.stem),
            nn.Conv2d(3 * shape.stem**2, width, 3, padding=1),
            residual_blocks(width, blocks, shape.norm),
            *(
                nn.Sequential(halve(width), residual_blocks(width, blocks, shape.norm))
                for _ in range(shape.halvings)
            ),
        )
        steps = range(len(shape.levels) - 1)
        self.descents = nn.ModuleList(  # fine to coarse
            nn.Sequential(halve(width), residual_blocks(width, blocks, shape.norm)) for _ in steps
        )
        self.coders = nn.ModuleDict(  # coarse to fine
            {
                level: Coder(shape, level=level, refines=number > 0)
                for number, level in enumerate(shape.levels)
            }
        )
        self.rises = nn.ModuleList(  # coarse to fine
            nn.Sequential(residual_blocks(width, blocks, shape.norm), double(width)) for _ in steps
        )
        self.decoder = nn.Sequential(
            residual_blocks(width, blocks, shape.norm),
            *(
                nn.Sequential(double(width), residual_blocks(width, blocks, shape.norm))
                for _ in range(shape.halvings)
            ),
            make_norm(shape.norm, width, groups=1),
            nn.SiLU(),
            nn.Conv2d(width, 3 * shape.stem**2, 3, padding=1),
            nn.PixelShuffle(shape.stem),
        )

    def forward(
        self,
        frames: Float[Tensor, "b c h w"],
        depth: Int64[Tensor, "b"] | None = None,
    ) -> Reconstruction:
        """Encode, quantize and decode.

        Args:
            frames: in [-1, 1].
            depth: how many levels each sample is decoded from, the coarsest first; None is all.
        """
        quantized: dict[str, Quantized] = {}
        state = None
        for number, (level, features) in enumerate(self._features(frames).items()):
            coder = self._coder(level)
            quantized[level] = coder(features, state)
            detail = coder.detail(quantized[level].latents)
            if depth is not None:
                detail = detail * (depth > number)[:, None, None, None]
            state = self._joined(state, detail, number)
        return Reconstruction(frames=self.decoder(state), levels=quantized)

    @torch.no_grad()
    def encode(self, frames: Float[Tensor, "b c h w"]) -> dict[str, Int64[Tensor, "b _ _"]]:
        """Give the codes of frames in [-1, 1], each level; the decoder is not run.

        Everything is computed in float32, whatever precision the training has: codes do not depend
        on a setting for speed. A latent that lies equally near to two codebook vectors, up to the
        rounding of float32, may still get another code on another kind of device, with another
        number of threads, or in a batch of another size, because these change the order of sums.
        """
        codes: dict[str, Int64[Tensor, "b _ _"]] = {}
        state = None
        with _exact(frames.device.type):
            for number, (level, features) in enumerate(self._features(frames).items()):
                coder = self._coder(level)
                quantized = coder(features, state)
                codes[level] = quantized.codes
                if number < len(self.rises):  # a finer level follows
                    state = self._joined(state, coder.detail(quantized.latents), number)
        return codes

    def decode(self, codes: Mapping[str, Int64[Tensor, "b _ _"]]) -> Float[Tensor, "b c h w"]:
        """Give the frames of codes, in [-1, 1] up to over- and undershoot.

        Args:
            codes: of all levels, or of the coarsest ones alone.

        Raises:
            ValueError: a level is unknown, or a coarser one is missing; or the codebook does not
                have a code.
        """
        self._require_first_levels(codes)
        latents = {level: self._coder(level).quantizer.look_up(codes[level]) for level in codes}
        return self.decode_latents(latents)

    def decode_latents(
        self, latents: Mapping[str, Float[Tensor, "b d _ _"]]
    ) -> Float[Tensor, "b c h w"]:
        """Give the frames of codebook vectors, as `decode` does of codes; gradients reach them.

        Raises:
            ValueError: a level is unknown, or a coarser one is missing.
        """
        self._require_first_levels(latents)
        state = None
        for number, level in enumerate(self.shape.levels):
            known = level in latents
            detail = self._coder(level).detail(latents[level]) if known else None
            state = self._joined(state, detail, number)
        return self.decoder(state)

    def train_on(self, ranks: Ranks) -> None:
        """Let the codebooks follow the latents of several ranks."""
        for quantizer in self.quantizers.values():
            quantizer.ranks = ranks

    @property
    def quantizers(self) -> dict[str, Quantizer]:
        """The quantizer of each level, coarse to fine."""
        return {level: self._coder(level).quantizer for level in self.shape.levels}

    @torch.no_grad()
    def codebooks(self) -> dict[str, Float[Tensor, "k d"]]:
        """Give the vectors that the codes of each level stand for."""
        return {level: quantizer.vectors() for level, quantizer in self.quantizers.items()}

    @property
    def matrices(self) -> list[Tensor]:
        """The kernels of all convolutions but those from and to pixels."""
        convolutions = [module for module in self.modules() if isinstance(module, nn.Conv2d)]
        kernels = [one.weight for one in convolutions if one is not self.encoder[1]]
        return [kernel for kernel in kernels if kernel is not self.last_layer]

    @property
    def last_layer(self) -> Tensor:
        """The kernel at which the gradients of losses are weighed against each other."""
        convolution = self.decoder[-2]
        assert isinstance(convolution, nn.Conv2d)
        return convolution.weight

    def _require_first_levels(self, levels: Collection[str]) -> None:
        if not levels or set(levels) != set(self.shape.levels[: len(levels)]):
            raise ValueError(
                f"codes of {', '.join(levels) or 'no level'}; expected the first ones of "
                f"{', '.join(self.shape.levels)}"
            )

    def _coder(self, level: str) -> Coder:
        coder = self.coders[level]
        assert isinstance(coder, Coder)
        return coder

    def _features(self, frames: Float[Tensor, "b c h w"]) -> dict[str, Float[Tensor, "b d _ _"]]:
        """Give the features of each level's grid, coarse to fine."""
        features = [self.encoder(frames)]
        for descend in self.descents:
            features.append(descend(features[-1]))
        return dict(zip(self.shape.levels, reversed(features), strict=True))

    def _joined(
        self,
        state: Float[Tensor, "b d h w"] | None,
        detail: Float[Tensor, "b d h w"] | None,
        number: int,
    ) -> Float[Tensor, "b d _ _"]:
        """Add what a level knows to what the coarser ones know, and go up to the next grid."""
        parts = [part for part in (state, detail) if part is not None]
        joined = parts[0] if len(parts) == 1 else parts[0] + parts[1]
        return self.rises[number](joined) if number < len(self.rises) else joined


@contextmanager
def _exact(device_type: str) -> Iterator[None]:
    """Compute in float32; by default a GPU would round the factors of convolutions to TF32."""
    exact = cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
    with exact, torch.autocast(device_type, enabled=False):
        yield
