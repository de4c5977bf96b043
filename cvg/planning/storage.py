"""What hours of video take on disk, as frames and as codes."""

from dataclasses import dataclass

import numpy as np

from cvg.codes.layout import Grid
from cvg.codes.store import smallest_type
from cvg.config import ExtractParams

ASSUMED_FPS = 25.0  # of videos whose frames are all kept: their rate is not known before the data
MOTION_BYTES = 4  # beside the codes of a frame: how much it differs from the one before


@dataclass(frozen=True, kw_only=True)
class Storage:
    """Of the given hours.

    Attributes:
        fps: frames a second that are kept.
        frames: how many.
        codes: of one frame, by level.
        frame_bytes: of one frame.
        code_bytes: of the codes of one frame.
    """

    fps: float
    frames: int
    codes: dict[str, int]
    frame_bytes: int
    code_bytes: int


def storage_of(extract: ExtractParams, grids: tuple[Grid, ...], *, hours: float) -> Storage:
    """Give what frames and codes take; neither is compressed."""
    fps = extract.fps or ASSUMED_FPS / extract.stride
    sizes = [
        grid.num_codes * np.dtype(smallest_type(grid.codebook_size)).itemsize for grid in grids
    ]
    return Storage(
        fps=fps,
        frames=round(hours * 3600 * fps),
        codes={grid.level: grid.num_codes for grid in grids},
        frame_bytes=3 * extract.frame_size**2,
        code_bytes=sum(sizes) + MOTION_BYTES,
    )
