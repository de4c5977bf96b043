"""Every frame of the store turned into its codes, once."""

from pathlib import Path

import torch
from einops import rearrange

from cvg.codes.layout import Grid
from cvg.codes.store import CodeWriter
from cvg.frames.pixels import to_channels_first, to_unit
from cvg.frames.store import FrameStore
from cvg.progress import Steps
from cvg.vqgan.health import code_use
from cvg.vqgan.model import Vqgan


def code_grids(vqgan: Vqgan) -> tuple[Grid, ...]:
    """Give the grids of both levels, coarse to fine."""
    shape = vqgan.shape
    return tuple(
        Grid(level=level, rows=size, columns=size, codebook_size=shape.codebook_size)
        for level, size in (("top", shape.top_grid), ("bottom", shape.bottom_grid))
    )


def tokenize(
    store: FrameStore,
    vqgan: Vqgan,
    *,
    vqgan_hash: str,
    folder: Path,
    batch_size: int,
    device: torch.device,
) -> dict[str, float]:
    """Write the codes of all frames into `folder`.

    Returns:
        usage and perplexity of each level over all frames, as `top.usage`, `top.perplexity`, ...
    """
    vqgan = vqgan.to(device)
    grids = code_grids(vqgan)
    segments = [*store.segments("train"), *store.segments("held_out")]
    segments.sort(key=lambda segment: segment.first_frame)
    writer = CodeWriter(folder, grids=grids)
    counts = {grid.level: torch.zeros(grid.codebook_size, dtype=torch.int64) for grid in grids}
    with Steps("tokenize", total=sum(segment.num_frames for segment in segments)) as progress:
        for segment in segments:
            for start in range(0, segment.num_frames, batch_size):
                length = min(batch_size, segment.num_frames - start)
                frames = torch.from_numpy(store.window(segment, start, length))
                codes = vqgan.encode(to_channels_first(to_unit(frames)).to(device))
                arrays = {"top": codes.top.cpu(), "bottom": codes.bottom.cpu()}
                writer.append({level: array.numpy() for level, array in arrays.items()})
                for level, array in arrays.items():
                    flat = rearrange(array, "b h w -> (b h w)")
                    counts[level] += torch.bincount(flat, minlength=len(counts[level]))
                progress.advance(length)
    codebooks = {
        "top": vqgan.top_quantizer.codebook.cpu().numpy(),
        "bottom": vqgan.bottom_quantizer.codebook.cpu().numpy(),
    }
    writer.finish(segments, vqgan_hash=vqgan_hash, codebooks=codebooks)
    figures = {}
    for level, count in counts.items():
        use = code_use(count)
        figures |= {f"{level}.usage": use.usage, f"{level}.perplexity": use.perplexity}
    return figures
