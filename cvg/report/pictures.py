"""Pictures that travel inside the page; for people to look at, never measured."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from einops import rearrange
from PIL import Image

from cvg.report.candidates import metrics_of
from cvg.report.levels import prefixes
from cvg.report.source import Row, Source, finite

LARGEST_SIDE = 16383  # pixels, of a WebP picture
FILM_BYTES = 6_000_000  # of all films together, so that the page can be sent by mail
SHEET_SIDES = (1400, 8000)  # pixels, at most
SHEET_QUALITY = 85  # of 100; the exact frames are in the frame store

# Name in the pictures, title on the page; the order of the page.
SHOWN = (
    ("truth", "Truth"),
    ("sample", "Sample"),
    ("reconstruction", "Reconstruction"),
    ("repeat_last", "Repeat last frame"),
    ("nearest", "Nearest training clip"),
    ("cross_fade", "Cross-fade"),
)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An encoded picture."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class Strip:
    """Frames beside each other."""

    title: str
    picture: Picture
    frames: int


@dataclass(frozen=True, kw_only=True)
class Film:
    """Clips that continue one context, as one picture: a row a clip, a column a frame."""

    number: int
    titles: tuple[str, ...]
    picture: Picture
    name: str  # video and frame that the clip is from
    caption: str
    figures: str  # of the sample


@dataclass(frozen=True, kw_only=True)
class Films:
    """All films of the page; they have the same number of frames."""

    films: tuple[Film, ...]
    frames: int
    left_out: int  # clips for which the page has no room
    frames_left_out: int  # at the end of each clip
    size: int  # pixels, of a frame


def contact_sheet(path: Path) -> Picture:
    """Encode a contact sheet, smaller than it is on disk."""
    with Image.open(path) as sheet:
        small = sheet.convert("RGB")
    small.thumbnail(SHEET_SIDES)
    return _encode(small, lossless=False)


def overview(path: Path) -> Picture:
    """Encode the picture of the data as it is."""
    with Image.open(path) as picture:
        return _encode(picture.convert("RGB"), lossless=True)


def strips(pictures: dict[str, np.ndarray], levels: Sequence[str]) -> list[Strip]:
    """Give held-out frames, and them decoded from each prefix of the levels, each set a strip."""
    named = [("original", "Original"), *((one.picture, one.title) for one in prefixes(levels))]
    return [
        Strip(title=title, picture=_strip(pictures[key]), frames=len(pictures[key]))
        for name, title in named
        if (key := f"frames.{name}") in pictures
    ]


def films(source: Source) -> Films | None:
    """Give the clips to look at, as many as the page has room for; None where there are none."""
    shown = [(key, title) for name, title in SHOWN if (key := f"clips.{name}") in source.pictures]
    if not shown:
        return None
    stacked = np.stack([source.pictures[key] for key, _ in shown])
    _, count, length, _, width, _ = stacked.shape
    frames = min(length, LARGEST_SIDE // width)
    numbers = source.pictures["chosen"].tolist()
    made: list[Film] = []
    room = FILM_BYTES
    for index, number in enumerate(numbers):
        sprite = rearrange(stacked[:, index, :frames], "r t h w c -> (r h) (t w) c")
        picture = _encode(Image.fromarray(sprite), lossless=True)
        room -= len(picture.uri)
        if made and room < 0:
            break
        row = source.clips[number]
        made.append(
            Film(
                number=number,
                titles=tuple(title for _, title in shown),
                picture=picture,
                name=row["clip"],
                caption=row["caption"],
                figures=_figures(row),
            )
        )
    return Films(
        films=tuple(made),
        frames=frames,
        left_out=count - len(made),
        frames_left_out=length - frames,
        size=width,
    )


def _figures(row: Row) -> str:
    """Write the figures of one sample as a list."""
    known = [(metric, finite(row.get(metric.key))) for metric in metrics_of(row)]
    return ", ".join(
        f"{metric.title} {metric.show(value)} {metric.unit}".rstrip()
        for metric, value in known
        if value is not None
    )


def _strip(frames: np.ndarray) -> Picture:
    return _encode(Image.fromarray(rearrange(frames, "m h w c -> h (m w) c")), lossless=True)


def _encode(image: Image.Image, *, lossless: bool) -> Picture:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=lossless, quality=SHEET_QUALITY)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Picture(uri=f"data:image/webp;base64,{data}", width=image.width, height=image.height)
