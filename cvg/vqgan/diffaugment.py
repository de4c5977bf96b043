"""Random changes to what a discriminator sees, differentiable, so that few data last longer.

Source: Zhao et al. 2020, arXiv:2006.10738: colour, translation and cutout, the same kinds for real
and for reconstructed frames, in the discriminator's loss and in the decoder's. A decoder never
learns to draw such changes, because the real frames that it is held against have them too.
"""

import torch
from einops import rearrange

from cvg.tensors import Float, Int64, Tensor
from cvg.training.share import Share, of_all

TRANSLATION = 8  # frames move by up to 1/8 of their sides
CUTOUT = 2  # the square that is cut out has 1/2 of their sides


def diffaugment(
    frames: Float[Tensor, "b c h w"],
    *,
    rng: torch.Generator,
    together: int = 1,
    share: Share | None = None,
) -> Float[Tensor, "b c h w"]:
    """Change brightness, saturation and contrast, move the frames, and cut a piece out of each.

    Args:
        frames: values in [-1, 1].
        rng: a generator on the CPU; the draws depend on the shape of the whole batch alone.
        together: number of successive frames that get the same change; divides b.
        share: which groups of frames of the batch these are, where they are not all.

    Returns:
        The changed frames. Colours are not clipped and may leave [-1, 1]; what moves in and what is
        cut out is 0, which is grey.
    """
    clips = rearrange(frames, "(b t) c h w -> b t c h w", t=together)
    groups, (h, w) = share or of_all(len(clips)), frames.shape[-2:]
    device = frames.device

    def integers(low: int, high: int) -> Int64[Tensor, "b"]:
        draws = torch.randint(low, high + 1, (groups.total,), generator=rng)
        return draws[groups.rows].to(device)

    colour = torch.rand(3, groups.total, generator=rng)[:, groups.rows].to(device)
    clips = recolour(
        clips, brightness=colour[0] - 0.5, saturation=2 * colour[1], contrast=colour[2] + 0.5
    )
    down, right = h // TRANSLATION, w // TRANSLATION
    clips = translate(clips, down=integers(-down, down), right=integers(-right, right))
    rows, columns = h // CUTOUT, w // CUTOUT
    clips = cut_out(
        clips,
        top=integers(-(rows // 2), h - (rows + 1) // 2),
        left=integers(-(columns // 2), w - (columns + 1) // 2),
    )
    return rearrange(clips, "b t c h w -> (b t) c h w")


def recolour(
    clips: Float[Tensor, "b t c h w"],
    *,
    brightness: Float[Tensor, "b"],
    saturation: Float[Tensor, "b"],
    contrast: Float[Tensor, "b"],
) -> Float[Tensor, "b t c h w"]:
    """Change the colours of each clip.

    Args:
        clips: values in [-1, 1].
        brightness: is added, published range [-0.5, 0.5].
        saturation: factor of the distance to the grey of the same pixel, published range [0, 2].
        contrast: factor of the distance to the clip's mean, published range [0.5, 1.5].
    """
    clips = clips + _per_clip(brightness)
    grey = clips.mean(2, keepdim=True)
    clips = grey + _per_clip(saturation) * (clips - grey)
    mean = clips.mean((1, 2, 3, 4), keepdim=True)
    return mean + _per_clip(contrast) * (clips - mean)


def translate(
    clips: Float[Tensor, "b t c h w"], *, down: Int64[Tensor, "b"], right: Int64[Tensor, "b"]
) -> Float[Tensor, "b t c h w"]:
    """Move each clip by whole pixels; what moves in is 0."""
    for axis, offsets in ((3, down), (4, right)):
        size = clips.shape[axis]
        source = _along(axis, torch.arange(size, device=clips.device) - offsets[:, None])
        inside = (source >= 0) & (source < size)
        clips = clips.gather(axis, source.clamp(0, size - 1).expand_as(clips)) * inside
    return clips


def cut_out(
    clips: Float[Tensor, "b t c h w"], *, top: Int64[Tensor, "b"], left: Int64[Tensor, "b"]
) -> Float[Tensor, "b t c h w"]:
    """Set to 0 a part with half of the sides; it may lie partly outside the clip."""
    cut = torch.ones((), dtype=torch.bool, device=clips.device)
    for axis, first in ((3, top), (4, left)):
        size = clips.shape[axis]
        past = torch.arange(size, device=clips.device) - first[:, None]
        cut = cut & _along(axis, (past >= 0) & (past < size // CUTOUT))
    return clips * ~cut


def _per_clip(values: Float[Tensor, "b"]) -> Float[Tensor, "b 1 1 1 1"]:
    return values[:, None, None, None, None]


def _along(axis: int, values: Tensor) -> Tensor:
    """Shape values `[b, size]` so that they lie along one axis of clips."""
    pattern = "b n -> b 1 1 n 1" if axis == 3 else "b n -> b 1 1 1 n"
    return rearrange(values, pattern)
