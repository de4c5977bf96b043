"""Do videos show what their captions say? Read from pixels, where captions are of made shapes."""

from collections.abc import Sequence

import numpy as np

from cvg.shapes.grammar import parse
from cvg.shapes.oracle import read_clip
from cvg.shapes.scene import Scene
from cvg.tensors import Bool, UInt8


def read_captions(captions: Sequence[str | None]) -> list[Scene] | None:
    """Read captions of made shapes; None where any is of something else."""
    scenes = []
    for caption in captions:
        try:
            scenes.append(parse(caption or ""))
        except ValueError:
            return None
    return scenes


def shows_what_is_told(
    clips: UInt8[np.ndarray, "n t h w 3"], scenes: Sequence[Scene], *, first: int
) -> Bool[np.ndarray, "n"]:
    """Tell whether all frames from `first` on show the shapes and colours of a clip's scene."""
    return np.array(
        [_right(clip[first:], scene) for clip, scene in zip(clips, scenes, strict=True)]
    )


def _right(frames: np.ndarray, scene: Scene) -> bool:
    wanted = {(mover.colour, mover.shape) for mover in scene}
    readings = read_clip(frames, len(scene))
    return all(
        {(reading.colours[number], reading.shapes[number]) for reading in readings} == wanted
        for number in range(len(frames))
    )
