"""Contact sheets: a look at what was stored."""

import unicodedata
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import matplotlib as mpl
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from cvg.files import replacing_file
from cvg.frames.store import FrameStore
from cvg.segments import Segment, Split

Item = TypeVar("Item")

MAX_SEGMENTS = 16
FRAMES_PER_SEGMENT = 8
PNG_EFFORT = 4  # of 9; 6, the default, takes more than twice as long for 2 % less
FRAME_SIDE = 128  # pixels; smaller frames are enlarged by a whole number, so that they stay sharp
MARGIN = 8
GAP = 2  # between frames
MAP_GAP = 12  # before the map
LINE_HEIGHT = 18
FONT_SIZE = 13
PAPER = (255, 255, 255)
INK = (27, 31, 36)
SOFT = (87, 96, 106)
RULE = (190, 197, 205)


def write_contact_sheet(store: FrameStore, split: Split, path: Path) -> None:
    """Write a PNG with evenly spaced frames of evenly chosen segments, one row a segment.

    A thin line divides videos. Where a segment has maps, that of its first frame ends the row,
    with its largest value as white.
    """
    segments = _spread(store.segments(split), MAX_SEGMENTS)
    has_maps = any(segment.first_map is not None for segment in segments)
    rows = [_row(store, segment, has_maps=has_maps) for segment in segments]
    height = sum(row.height for row in rows)
    sheet = Image.new("RGB", (_width(store, has_maps=has_maps), max(height, 1)), PAPER)
    pen = ImageDraw.Draw(sheet)
    tops = np.cumsum([0, *(row.height for row in rows)]).tolist()
    for row, top in zip(rows, tops[:-1], strict=True):
        sheet.paste(row, (0, top))
    for (one, other), top in zip(pairwise(segments), tops[1:-1], strict=True):
        if one.video != other.video:
            pen.line([(MARGIN, top), (sheet.width - MARGIN, top)], fill=RULE)
    with replacing_file(path) as temporary:
        sheet.save(temporary, compress_level=PNG_EFFORT)


def _row(store: FrameStore, segment: Segment, *, has_maps: bool) -> Image.Image:
    height, width = _shown_size(store)
    said = segment.caption or segment.label
    top = MARGIN // 2 + (2 if said else 1) * LINE_HEIGHT
    row = Image.new("RGB", (_width(store, has_maps=has_maps), top + height + MARGIN), PAPER)
    _write(row, _title(segment), top=MARGIN // 2, colour=INK)
    if said:
        _write(row, said, top=MARGIN // 2 + LINE_HEIGHT, colour=SOFT)
    for column, start in enumerate(_spread(range(segment.num_frames), FRAMES_PER_SEGMENT)):
        picture = Image.fromarray(store.window(segment, start, 1)[0])
        picture = picture.resize((width, height), Image.Resampling.NEAREST)
        row.paste(picture, (MARGIN + column * (width + GAP), top))
    if segment.first_map is not None:
        picture = _map_picture(store.maps(segment, 0, 1)[0])
        picture = picture.resize((width, height), Image.Resampling.NEAREST)
        row.paste(picture, (row.width - MARGIN - width, top))
    return row


def _width(store: FrameStore, *, has_maps: bool) -> int:
    width = _shown_size(store)[1]
    frames = FRAMES_PER_SEGMENT * (width + GAP) - GAP
    return frames + 2 * MARGIN + (MAP_GAP + width if has_maps else 0)


def _shown_size(store: FrameStore) -> tuple[int, int]:
    scale = max(1, FRAME_SIDE // max(store.size))
    return store.size[0] * scale, store.size[1] * scale


def _map_picture(values: UInt8[np.ndarray, "h w"]) -> Image.Image:
    largest = max(1, int(values.max()))
    return Image.fromarray((values.astype(np.uint16) * 255 // largest).astype(np.uint8))


def _title(segment: Segment) -> str:
    end_s = segment.start_s + segment.num_frames / segment.fps
    return (
        f"{segment.start_s:.2f} to {end_s:.2f} s · {segment.num_frames} frames · "
        f"motion {segment.motion:.1f} · {segment.video}"
    )


def _write(picture: Image.Image, text: str, *, top: int, colour: tuple[int, int, int]) -> None:
    clipped = _clip(_drawable(text), picture.width - 2 * MARGIN)
    ImageDraw.Draw(picture).text((MARGIN, top), clipped, fill=colour, font=_font())


def _clip(text: str, width: int) -> str:
    """Shorten a line to a width in pixels; an ellipsis says so."""
    if _font().getlength(text) <= width:
        return text
    short, long = 0, len(text)
    while long - short > 1:
        middle = (short + long) // 2
        fits = _font().getlength(f"{text[:middle]}…") <= width
        short, long = (middle, long) if fits else (short, middle)
    return f"{text[:short].rstrip()}…"


def _drawable(text: str) -> str:
    """Put one line on one line, and `?` for letters that the font does not have."""
    one_line = " ".join(unicodedata.normalize("NFC", text).split())
    return "".join(letter if _has(letter) else "?" for letter in one_line)


@cache
def _has(letter: str) -> bool:
    # This code point is no letter in any font.
    return _glyph(letter) != _glyph("\uffff")


def _glyph(letter: str) -> bytes:
    picture = Image.new("L", (2 * FONT_SIZE, 2 * FONT_SIZE))
    ImageDraw.Draw(picture).text((0, 0), letter, fill=255, font=_font())
    return picture.tobytes()


@cache
def _font() -> ImageFont.FreeTypeFont:
    """Load the font that comes with Matplotlib: that of Pillow has no letters beyond ASCII."""
    path = Path(mpl.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
    return ImageFont.truetype(path, FONT_SIZE, layout_engine=ImageFont.Layout.BASIC)


def _spread(items: Sequence[Item], most: int) -> list[Item]:
    count = min(most, len(items))
    return [items[(2 * number + 1) * len(items) // (2 * count)] for number in range(count)]
