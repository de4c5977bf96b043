"""Contact sheets: a look at what was stored."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from cvg.files import replacing_file
from cvg.frames.store import FrameStore
from cvg.segments import Segment, Split

Item = TypeVar("Item")

MAX_SEGMENTS = 16
FRAMES_PER_SEGMENT = 8
TEXT_HEIGHT = 14
MARGIN = 2
SMALL = 96
PAPER = (255, 255, 255)
INK = (0, 0, 0)


def write_contact_sheet(store: FrameStore, split: Split, path: Path) -> None:
    """Write a PNG with evenly spaced frames of evenly chosen segments, one row a segment."""
    segments = _spread(store.segments(split), MAX_SEGMENTS)
    scale = 2 if store.size[0] <= SMALL else 1
    height, width = (side * scale for side in store.size)
    row_height = TEXT_HEIGHT + height + 2 * MARGIN
    sheet = Image.new(
        "RGB", (FRAMES_PER_SEGMENT * (width + MARGIN) + MARGIN, len(segments) * row_height), PAPER
    )
    pen = ImageDraw.Draw(sheet)
    for row, segment in enumerate(segments):
        top = row * row_height
        pen.text((MARGIN, top + 1), _title(segment), fill=INK)
        for column, start in enumerate(_spread(range(segment.num_frames), FRAMES_PER_SEGMENT)):
            picture = _picture(store.window(segment, start, 1)[0], scale)
            sheet.paste(picture, (MARGIN + column * (width + MARGIN), top + TEXT_HEIGHT + MARGIN))
    with replacing_file(path) as temporary:
        sheet.save(temporary)


def _picture(frame: UInt8[np.ndarray, "h w c"], scale: int) -> Image.Image:
    height, width = frame.shape[:2]
    picture = Image.fromarray(frame)
    return picture.resize((width * scale, height * scale), Image.Resampling.NEAREST)


def _title(segment: Segment) -> str:
    what = f"{segment.video} | {segment.num_frames} frames from {segment.start_s:.2f} s"
    said = segment.caption or segment.label
    text = f"{what} | {said}" if said else what
    # The built-in font knows no other letters.
    return text.encode("ascii", "replace").decode()


def _spread(items: Sequence[Item], most: int) -> list[Item]:
    count = min(most, len(items))
    return [items[(2 * number + 1) * len(items) // (2 * count)] for number in range(count)]
