"""What is said of every source of frames: how they shall look, what they may cost, what it is."""

from dataclasses import dataclass
from typing import Literal

Fit = Literal["crop", "pad", "squash"]


@dataclass(frozen=True, kw_only=True)
class Look:
    """How each frame is brought to the same square.

    Attributes:
        size: height and width wanted, pixels.
        fit: crop keeps the centre square, pad keeps everything and adds bars of `background`,
            squash changes the aspect ratio.
        background: red, green and blue, 0 to 255; of the bars, and behind transparent pixels.
        channels: 3 for red, green and blue, 1 for grey (luma).
    """

    size: int
    fit: Fit
    background: tuple[int, int, int] = (0, 0, 0)
    channels: Literal[1, 3] = 3


@dataclass(frozen=True, kw_only=True)
class ReadLimits:
    """What reading one source may cost.

    Attributes:
        pixels: width * height of a frame, before any scaling.
        frames: that are decoded.
    """

    pixels: int
    frames: int


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a source says of itself; frames, seconds and rate are None where it says nothing.

    Attributes:
        width: pixels, before any rotation.
        height: pixels, before any rotation.
        fps: mean frames a second.
        duration_s: length of the video stream, seconds.
        num_frames: declared number of frames.
        hdr: the transfer function of a high dynamic range, "PQ" or "HLG"; None for all others.
        alpha: whether pixels may be transparent.
    """

    width: int
    height: int
    fps: float | None
    duration_s: float | None
    num_frames: int | None
    hdr: Literal["PQ", "HLG"] | None = None
    alpha: bool = False


def red_green_blue(text: str) -> tuple[int, int, int]:
    """Read a colour, "#rrggbb"."""
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return red, green, blue
