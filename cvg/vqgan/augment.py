"""Small changes to training frames that keep them real."""

import torch
import torch.nn.functional as F

from cvg.tensors import Float, Tensor


def augment(
    frames: Float[Tensor, "b c h w"],
    *,
    flip: bool,
    shift: int,
    rng: torch.Generator,
    successive: int = 1,
) -> Float[Tensor, "b c h w"]:
    """Mirror a random half of the frames, and move each by up to `shift` pixels.

    Edges are repeated. Draws from `rng`, in the same amount whatever the settings. Each
    `successive` frames that lie beside each other are changed alike.
    """
    b, _, h, w = frames.shape
    mirrored = torch.rand(b // successive, generator=rng) < 0.5
    offsets = torch.randint(0, 2 * shift + 1, (b // successive, 2), generator=rng)
    mirrored = mirrored.repeat_interleave(successive)
    offsets = offsets.repeat_interleave(successive, dim=0)
    if flip:
        frames = torch.where(
            mirrored.to(frames.device)[:, None, None, None], frames.flip(-1), frames
        )
    if shift:
        padded = F.pad(frames, (shift, shift, shift, shift), mode="replicate")
        moved = [
            picture[:, row : row + h, column : column + w]
            for picture, (row, column) in zip(padded, offsets.tolist(), strict=True)
        ]
        frames = torch.stack(moved)
    return frames
