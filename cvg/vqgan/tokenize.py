"""Every frame of the store turned into its codes, once, part by part."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file

from cvg.codes.layout import Grid
from cvg.codes.store import SHARD_FRAMES, CodeStore, CodeTrack, CodeWriter, smallest_type
from cvg.codes.use import code_use
from cvg.errors import UserError
from cvg.files import save_arrays
from cvg.frames.aligned import Aligned
from cvg.frames.pixels import to_channels_first, to_unit
from cvg.frames.store import FrameStore
from cvg.mapping.machine import computing
from cvg.remote.url import Place
from cvg.segments import Segment
from cvg.training.device import chosen_device
from cvg.vqgan.model import Vqgan, VqganShape
from cvg.vqgan.store import load_vqgan

# Cells of a map to a code of the finest grid, each way: finer than codes, to keep edges.
MAP_CELLS_PER_CODE = 2
PARTS = 128  # about, of a store of few shards; a kill costs what was done of one of them
PART = "codes.safetensors"  # in the folder of a part


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


@dataclass(frozen=True, kw_only=True)
class TokenizeWork:
    """The codes of all frames of a store, as work for several processes.

    Attributes:
        frames: folder or URL of the frame store.
        vqgan: folder of the trained VQGAN.
        batch_size: frames at once.
    """

    frames: Place
    vqgan: Path
    batch_size: int

    def open(self) -> "Tokenizer":
        """Open the store and the model."""
        vqgan, vqgan_hash = load_vqgan(self.vqgan)
        return Tokenizer(
            FrameStore.open(self.frames),
            vqgan,
            vqgan_hash=vqgan_hash,
            batch_size=self.batch_size,
            device=chosen_device(),
        )


class Tokenizer:
    """Turns the frames of a store into codes, part by part.

    A part is a whole number of batches, and no batch reaches beyond a shard of the code store, so
    that the batches are the same whoever makes which part.

    How far codes depend on the machine and on the size of a batch: `Vqgan.encode`.

    Attributes:
        store: the frames, whatever videos they are of.
        inputs: the hashes of frames and VQGAN.
        sizes: frames of each part.
    """

    def __init__(
        self,
        store: FrameStore,
        vqgan: Vqgan,
        *,
        vqgan_hash: str,
        batch_size: int,
        device: torch.device,
    ) -> None:
        """Look at a store.

        Args:
            store: the frames.
            vqgan: in evaluation mode.
            vqgan_hash: of its weights.
            batch_size: frames at once.
            device: where to compute.

        Raises:
            UserError: the store has no frames.
        """
        self.store = store
        self.inputs = {"data": store.digest, "vqgan": vqgan_hash}
        self._vqgan, self._device = vqgan.to(device), device
        self._segments = [*store.segments("train"), *store.segments("held_out")]
        self._segments.sort(key=lambda segment: segment.first_frame)
        self._everything = _all_frames(self._segments, store.folder)
        self._grids = code_grids(vqgan.shape)
        cells = MAP_CELLS_PER_CODE * self._grids[-1].rows
        self._aligned = Aligned(store, self._segments, map_cells=cells)
        self._batch_size = batch_size
        self._parts = list(_parts(self._everything.num_frames, batch_size))
        self.sizes = [len(part) for part in self._parts]

    def machine(self) -> dict[str, Any]:
        """Give what of this machine shapes codes."""
        return computing()

    def make(self, number: int, folder: Path, *, advance: Callable[[int], None]) -> None:
        """Write the codes of a part into `folder`."""
        batches = []
        part = self._parts[number]
        for start in range(0, len(part), self._batch_size):
            rows = part[start : start + self._batch_size]
            batches.append(self._encode(rows.start, len(rows)))
            advance(len(rows))
        names = batches[0]
        arrays = {name: np.concatenate([batch[name] for batch in batches]) for name in names}
        save_arrays(folder / PART, arrays)

    def join(self, parts: Iterable[Path], folder: Path) -> dict[str, float]:
        """Write the code store from the folders of all parts, in order.

        Args:
            parts: where `make` has written.
            folder: existing and empty.

        Returns:
            usage and perplexity of each level over all frames, as `top.usage`, `top.perplexity`,
            ...
        """
        writer = CodeWriter(
            folder,
            grids=self._grids,
            tracks=tuple(
                CodeTrack(name=name, dtype=dtype, item_shape=shape)
                for name, (dtype, shape) in self._aligned.item_shapes.items()
            ),
            shard_frames=SHARD_FRAMES,
        )
        for part in parts:
            writer.append(load_file(part / PART))
        codebooks = {
            level: vectors.cpu().numpy() for level, vectors in self._vqgan.codebooks().items()
        }
        writer.finish(self._segments, vqgan_hash=self.inputs["vqgan"], codebooks=codebooks)
        return _measure_use(CodeStore.open(folder))

    def _encode(self, first: int, length: int) -> dict[str, np.ndarray]:
        frames = torch.from_numpy(self.store.window(self._everything, first, length))
        codes = self._vqgan.encode(to_channels_first(to_unit(frames.to(self._device))))
        arrays = {
            grid.level: codes[grid.level].cpu().numpy().astype(smallest_type(grid.codebook_size))
            for grid in self._grids
        }
        return arrays | self._aligned.read(first, length)


def _all_frames(segments: list[Segment], where: Place) -> Segment:
    """Give all frames of the store as one segment: batches need not end where a video does.

    Frames between the segments, if there are any, are in it too, so that codes have the numbers of
    their frames.
    """
    if not segments:
        raise UserError(f"{where}: holds no frames; add videos, then run extract again")
    end = max(segment.first_frame + segment.num_frames for segment in segments)
    return replace(segments[0], first_frame=0, num_frames=end)


def _parts(total: int, batch_size: int) -> Iterator[range]:
    """Part frames into whole numbers of batches that end where a shard ends.

    >>> list(_parts(1000, 400))
    [range(0, 400), range(400, 800), range(800, 1000)]
    """
    size = batch_size * max(1, round(total / (PARTS * batch_size)))
    for shard in range(0, total, SHARD_FRAMES):
        end = min(shard + SHARD_FRAMES, total)
        for first in range(shard, end, size):
            yield range(first, min(first + size, end))


def _measure_use(codes: CodeStore) -> dict[str, float]:
    figures = {}
    for level, counts in codes.count_codes().items():
        use = code_use(torch.from_numpy(counts))
        figures |= {f"{level}.usage": use.usage, f"{level}.perplexity": use.perplexity}
    return figures
