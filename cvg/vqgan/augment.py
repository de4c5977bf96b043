"""Small changes to training frames that keep them real."""

import torch
import torch.nn.functional as F

from cvg.tensors import Float, Tensor
from cvg.training.share import Share, of_all


def augment(
    frames: Float[Tensor, "b c h w"],
    *,
    flip: bool,
    shift: int,
    rng: torch.Generator,
    successive: int = 1,
    share: Share | None = None,
) -> Float[Tensor, "b c h w"]:
    """Mirror a random half of the frames, and move each by up to `shift` pixels.

    Edges are repeated. Draws from `rng`, in the same amount whatever the settings. Each
    `successive` frames that lie beside each other are changed alike. Where the frames are a part
    of a batch, `share` says which groups of them; draws are for the whole batch.
    """
    b, _, h, w = frames.shape
    groups = share or of_all(b // successive)
    mirrored = torch.rand(groups.total, generator=rng) < 0.5
    offsets = torch.randint(0, 2 * shift + 1, (groups.total, 2), generator=rng)
    mirrored = mirrored[groups.rows].repeat_interleave(successive)
    offsets = offsets[groups.rows].repeat_interleave(successive, dim=0)
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
