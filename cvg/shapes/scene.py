"""What a clip of moving shapes shows, in words: the attributes, and which values they take."""

from dataclasses import dataclass
from enum import StrEnum

SHAPES = ("circle", "square", "triangle", "cross", "diamond")

# Hues far apart and one without a hue, so that blur towards the dark ground mixes none of them up.
COLOURS = {
    "red": (230, 40, 40),
    "green": (40, 200, 60),
    "blue": (60, 90, 250),
    "yellow": (240, 220, 40),
    "magenta": (230, 60, 220),
    "cyan": (50, 210, 230),
    "white": (240, 240, 240),
}

# Steps to the right and down.
DIRECTIONS = {
    "up": (0, -1),
    "up right": (1, -1),
    "right": (1, 0),
    "down right": (1, 1),
    "down": (0, 1),
    "down left": (-1, 1),
    "left": (-1, 0),
    "up left": (-1, -1),
}

SPEEDS = ("slowly", "fast")

MIN_SIZE, MAX_SIZE = 32, 256


class Borders(StrEnum):
    """What happens at the edge of the picture."""

    WRAP = "wrap"
    BOUNCE = "bounce"


@dataclass(frozen=True, kw_only=True)
class Motion:
    """How a shape moves: all the time where borders wrap, at the start where it bounces.

    Attributes:
        direction: one of DIRECTIONS.
        speed: one of SPEEDS.
        borders: what happens at the edge.
    """

    direction: str
    speed: str
    borders: Borders = Borders.WRAP


@dataclass(frozen=True, kw_only=True)
class Mover:
    """One shape.

    Attributes:
        shape: one of SHAPES.
        colour: one of COLOURS.
        motion: None where it turns at random times, so that nothing lasting can be said.
    """

    shape: str
    colour: str
    motion: Motion | None = None

    @property
    def kind(self) -> tuple[str, ...]:
        """Shape, colour and direction: what is held out together; no direction where it turns."""
        direction = () if self.motion is None else (self.motion.direction,)
        return (self.shape, self.colour, *direction)


Scene = tuple[Mover, ...]


def radius(size: int) -> int:
    """Half the width of every shape in half pixels, for pictures of `size` pixels.

    >>> radius(64), radius(32)
    (18, 9)
    """
    return size * 2 // 7


def pace(size: int, speed: str) -> int:
    """Half pixels from frame to frame along each axis that the shape moves on.

    >>> [pace(size, speed) for size in (32, 64, 128) for speed in SPEEDS]
    [1, 2, 2, 5, 4, 10]
    """
    return size // 32 if speed == "slowly" else size * 5 // 64
