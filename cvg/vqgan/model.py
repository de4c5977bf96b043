"""The hierarchical VQGAN of single frames: two encoders, two codebooks, one decoder.

    frame --encoder--> fine features --top encoder--> coarse features
                            |                              | quantize: top codes
                            |                         top decoder
                            +------------ joined ----------+
                                  | quantize: bottom codes |
                                  +------- decoder --------+--> frame

The wiring is that of VQ-VAE-2 (Razavi et al. 2019, arXiv:1906.00446, fig. 2). Unusual here: the
network works on space-to-depth blocks of the frame, which is far cheaper than convolving at
full resolution; and the bottom level can be dropped for single samples, so that the
top must carry a picture alone.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from cvg.errors import UserError
from cvg.tensors import Bool, Float, Int64, Tensor
from cvg.training.weights import hash_weights, load_config, load_weights, save_model
from cvg.vqgan.layers import double, halve, residual_blocks
from cvg.vqgan.quantizer import Quantized, Quantizer

FINE_STEP = 2  # the encoder halves the space-to-depth grid once: the bottom grid
COARSE_STEP = 2  # the top encoder halves it once more: the top grid


@dataclass(frozen=True, kw_only=True)
class VqganShape:
    """Everything that rebuilds the network."""

    size: int  # height and width of a frame, pixels
    width: int
    blocks: int
    stem: int
    codebook_size: int
    code_dim: int
    codebook_decay: float
    restart_below: float

    @property
    def bottom_grid(self) -> int:
        """Rows and columns of the bottom grid."""
        return self.size // (self.stem * FINE_STEP)

    @property
    def top_grid(self) -> int:
        """Rows and columns of the top grid."""
        return self.bottom_grid // COARSE_STEP


@dataclass(frozen=True, kw_only=True)
class Codes:
    """The codes of frames, both levels."""

    top: Int64[Tensor, "b ht wt"]
    bottom: Int64[Tensor, "b hb wb"]


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """Frames through both codebooks, with what training needs."""

    frames: Float[Tensor, "b c h w"]
    top: Quantized
    bottom: Quantized


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
            residual_blocks(width, blocks),
            halve(width),
            residual_blocks(width, blocks),
        )
        self.top_encoder = nn.Sequential(
            halve(width),
            residual_blocks(width, blocks),
            nn.GroupNorm(1, width),
            nn.Conv2d(width, shape.code_dim, 1),
        )
        self.top_quantizer = self._quantizer()
        self.top_decoder = nn.Sequential(
            nn.Conv2d(shape.code_dim, width, 3, padding=1),
            residual_blocks(width, blocks),
            double(width),
        )
        self.bottom_encoder = nn.Sequential(
            nn.Conv2d(2 * width, width, 1),
            residual_blocks(width, min(blocks, 1)),
            nn.GroupNorm(1, width),
            nn.Conv2d(width, shape.code_dim, 1),
        )
        self.bottom_quantizer = self._quantizer()
        self.bottom_decoder = nn.Conv2d(shape.code_dim, width, 3, padding=1)
        self.decoder = nn.Sequential(
            residual_blocks(width, blocks),
            double(width),
            residual_blocks(width, blocks),
            nn.GroupNorm(1, width),
            nn.SiLU(),
            nn.Conv2d(width, 3 * shape.stem**2, 3, padding=1),
            nn.PixelShuffle(shape.stem),
        )

    def forward(
        self,
        frames: Float[Tensor, "b c h w"],
        keep_bottom: Bool[Tensor, "b"] | None = None,
    ) -> Reconstruction:
        """Encode, quantize and decode.

        Args:
            frames: in [-1, 1].
            keep_bottom: False where a sample is decoded from its top codes alone; None keeps all.
        """
        fine = self.encoder(frames)
        top = self.top_quantizer(self.top_encoder(fine))
        coarse = self.top_decoder(top.latents)
        bottom = self.bottom_quantizer(self.bottom_encoder(torch.cat([fine, coarse], dim=1)))
        detail = self.bottom_decoder(bottom.latents)
        if keep_bottom is not None:
            detail = detail * keep_bottom[:, None, None, None]
        return Reconstruction(frames=self.decoder(coarse + detail), top=top, bottom=bottom)

    @torch.no_grad()
    def encode(self, frames: Float[Tensor, "b c h w"]) -> Codes:
        """Give the codes of frames in [-1, 1]."""
        result = self(frames)
        return Codes(top=result.top.codes, bottom=result.bottom.codes)

    def decode(self, codes: Codes) -> Float[Tensor, "b c h w"]:
        """Give the frames of codes, in [-1, 1] up to over- and undershoot."""
        coarse = self.top_decoder(self.top_quantizer.look_up(codes.top))
        detail = self.bottom_decoder(self.bottom_quantizer.look_up(codes.bottom))
        return self.decoder(coarse + detail)

    def decode_top(self, codes: Int64[Tensor, "b ht wt"]) -> Float[Tensor, "b c h w"]:
        """Give the frames that the top codes alone stand for."""
        return self.decoder(self.top_decoder(self.top_quantizer.look_up(codes)))

    @property
    def last_layer(self) -> Tensor:
        """The kernel at which the gradients of losses are weighed against each other."""
        convolution = self.decoder[-2]
        assert isinstance(convolution, nn.Conv2d)
        return convolution.weight

    def _quantizer(self) -> Quantizer:
        shape = self.shape
        return Quantizer(
            codebook_size=shape.codebook_size,
            code_dim=shape.code_dim,
            decay=shape.codebook_decay,
            restart_below=shape.restart_below,
        )


def save_vqgan(folder: Path, vqgan: Vqgan) -> None:
    """Write the model and the hash by which later stages know it."""
    config = {"kind": "vqgan", "shape": vars(vqgan.shape), "hash": hash_weights(vqgan)}
    save_model(folder, vqgan, config)


def load_vqgan(folder: Path) -> tuple[Vqgan, str]:
    """Read a frozen VQGAN, in evaluation mode, and its hash.

    Raises:
        UserError: files are missing, damaged, or not of a VQGAN, or the weights do not have the
            hash that was stored.
    """
    config = load_config(folder)
    if config.get("kind") != "vqgan":
        raise UserError(f"{folder}: holds a {config.get('kind')}, expected a vqgan")
    vqgan = Vqgan(VqganShape(**config["shape"]))
    load_weights(folder, vqgan)
    found = hash_weights(vqgan)
    if found != config["hash"]:
        raise UserError(
            f"{folder}: the weights have hash {found[:12]}, config.json expects "
            f"{config['hash'][:12]}; one of them was changed, run train-vqgan again"
        )
    return vqgan.eval().requires_grad_(False), found


def require_same_vqgan(expected: str, found: str, *, where: Path) -> None:
    """Refuse to mix what two different VQGANs made.

    Args:
        expected: hash of the VQGAN that made what lies in `where`.
        found: hash of the VQGAN at hand.
        where: the folder, for the message.
    """
    if expected != found:
        raise UserError(
            f"{where}: made with VQGAN {expected[:12]}, but the one here is {found[:12]}; run the "
            "stages after train-vqgan again (dvc repro)"
        )
