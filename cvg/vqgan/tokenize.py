"""Every frame of the store turned into its codes, once; an interrupted run is gone on with."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from cvg.codes.layout import Grid
from cvg.codes.store import SHARD_FRAMES, CodeStore, CodeTrack, CodeWriter
from cvg.codes.use import code_use
from cvg.errors import UserError
from cvg.frames.aligned import Aligned
from cvg.frames.pixels import to_channels_first, to_unit
from cvg.frames.store import FrameStore
from cvg.progress import Steps
from cvg.segments import Segment
from cvg.vqgan.model import Vqgan, VqganShape

# Cells of a map to a code of the finest grid, each way: finer than codes, to keep edges.
MAP_CELLS_PER_CODE = 2


def code_grids(shape: VqganShape) -> tuple[Grid, ...]:
    """Give the grids of all levels, coarse to fine."""
    return tuple(
        Grid(
            level=level,
            rows=shape.grid(level),
            columns=shape.grid(level),
            codebook_size=shape.quantizer.codebook_size,
        )
        for level in shape.levels
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
    """Write the codes of all frames into `folder`, whatever videos the frames are of.

    Full shards that an interrupted run left in `folder` are kept, and their frames are not encoded
    again. No batch reaches beyond a shard, so that a run that goes on makes the same batches as
    one that was not interrupted.

    How far codes depend on the machine and on the size of a batch: `Vqgan.encode`.

    Args:
        store: the frames.
        vqgan: in evaluation mode.
        vqgan_hash: of its weights.
        folder: existing, empty or left by an interrupted run.
        batch_size: frames at once.
        device: where to compute.

    Returns:
        usage and perplexity of each level over all frames, as `top.usage`, `top.perplexity`, ...

    Raises:
        UserError: the store has no frames, or a file is damaged.
    """
    segments = [*store.segments("train"), *store.segments("held_out")]
    segments.sort(key=lambda segment: segment.first_frame)
    everything = _all_frames(segments, store.folder)
    total = everything.num_frames
    grids = code_grids(vqgan.shape)
    aligned = Aligned(store, segments, map_cells=MAP_CELLS_PER_CODE * grids[-1].rows)
    writer = CodeWriter(
        folder,
        grids=grids,
        tracks=tuple(
            CodeTrack(name=name, dtype=dtype, item_shape=shape)
            for name, (dtype, shape) in aligned.item_shapes.items()
        ),
        shard_frames=SHARD_FRAMES,
        key=f"VQGAN {vqgan_hash}, frames {store.digest}",
    )
    if writer.num_frames:
        sys.stderr.write(
            f"tokenize: goes on after {writer.num_frames} of {total} frames (an earlier run was "
            "interrupted)\n"
        )
    vqgan = vqgan.to(device)
    with Steps("tokenize", total=total) as progress:
        progress.advance(writer.num_frames)
        for first, length in _batches(writer, total, batch_size):
            frames = torch.from_numpy(store.window(everything, first, length))
            codes = vqgan.encode(to_channels_first(to_unit(frames.to(device))))
            arrays = {level: grid.cpu().numpy() for level, grid in codes.items()}
            writer.append(arrays | aligned.read(first, length))
            progress.advance(length)
    codebooks = {level: vectors.cpu().numpy() for level, vectors in vqgan.codebooks().items()}
    writer.finish(segments, vqgan_hash=vqgan_hash, codebooks=codebooks)
    return _measure_use(CodeStore.open(folder))


def _all_frames(segments: list[Segment], where: Path) -> Segment:
    """Give all frames of the store as one segment: batches need not end where a video does.

    Frames between the segments, if there are any, are in it too, so that codes have the numbers of
    their frames.
    """
    if not segments:
        raise UserError(f"{where}: holds no frames; add videos, then run extract again")
    end = max(segment.first_frame + segment.num_frames for segment in segments)
    return replace(segments[0], first_frame=0, num_frames=end)


def _batches(writer: CodeWriter, total: int, size: int) -> Iterator[tuple[int, int]]:
    """Give first frame and length of each batch from the writer's next frame on."""
    first = writer.num_frames
    while first < total:
        left_in_shard = writer.shard_frames - first % writer.shard_frames
        length = min(size, left_in_shard, total - first)
        yield first, length
        first += length


def _measure_use(codes: CodeStore) -> dict[str, float]:
    figures = {}
    for level, counts in codes.count_codes().items():
        use = code_use(torch.from_numpy(counts))
        figures |= {f"{level}.usage": use.usage, f"{level}.perplexity": use.perplexity}
    return figures
