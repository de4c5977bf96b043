"""What the levels of codes, and what is decoded from the first of them, are called."""

from collections.abc import Sequence
from dataclasses import dataclass

LEVELS = ("top", "middle", "bottom")  # all that there may be, coarse to fine
STYLES = ("a", "b", "c")  # of the lines of each level or prefix
COUNTS = {2: "two", 3: "three"}
ALL = {1: "Reconstruction", 2: "Both levels"}


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """The first levels, coarse to fine, without the finer ones."""

    title: str
    suffix: str  # of its figures: "" where it is all levels
    picture: str  # of its frames among the pictures


@dataclass(frozen=True, kw_only=True)
class LevelFigure:
    """A figure of what is decoded from the levels up to `level`; of all of them where it is ""."""

    key: str
    level: str


def prefixes(levels: Sequence[str]) -> tuple[Prefix, ...]:
    """Give each prefix of the levels, shortest first.

    >>> [prefix.title for prefix in prefixes(["top", "middle", "bottom"])]
    ['Top level alone', 'Top and middle', 'All levels']
    """
    *before, _ = levels
    return (
        *(
            Prefix(title=prefix_title(levels, level), suffix=f"_{level}", picture=level)
            for level in before
        ),
        Prefix(title=ALL.get(len(levels), "All levels"), suffix="", picture="full"),
    )


def prefix_title(levels: Sequence[str], level: str) -> str:
    """Call what is decoded from the levels up to `level`, which is not the last of them."""
    before = levels[: levels.index(level)] if level in levels else ()
    if not before:
        return f"{level.capitalize()} level alone"
    return f"{', '.join(before)} and {level}".capitalize()


def level_figure(key: str) -> LevelFigure:
    """Split the name of a figure from the level that it stops at.

    >>> level_figure("psnr_top")
    LevelFigure(key='psnr', level='top')
    >>> level_figure("lpips_vgg")
    LevelFigure(key='lpips_vgg', level='')
    """
    start, _, end = key.rpartition("_")
    return LevelFigure(key=start, level=end) if end in LEVELS else LevelFigure(key=key, level="")


def models_phrase(levels: Sequence[str]) -> str:
    """Say which models there are.

    >>> models_phrase(["bottom"])
    'A VQGAN and a transformer'
    """
    if len(levels) == 1:
        return "A VQGAN and a transformer"
    return f"A hierarchical VQGAN and {COUNTS[len(levels)]} transformers"


def grids_sentence(levels: Sequence[str]) -> str:
    """Say what the VQGAN makes of a frame.

    >>> grids_sentence(["bottom"])
    'It turns a frame into a grid of codes, and codes back into a frame.'
    """
    grids = (
        "a grid of codes"
        if len(levels) == 1
        else f"{COUNTS[len(levels)]} grids of codes, coarse to fine"
    )
    return f"It turns a frame into {grids}, and codes back into a frame."


def writers_sentence(levels: Sequence[str]) -> str:
    """Say which transformer writes which codes.

    >>> writers_sentence(["top", "bottom"])
    'The top transformer writes the coarse codes of the next frame, the bottom one the finer ones.'
    """
    if len(levels) == 1:
        return "The transformer writes the codes of the next frame."
    first, *others = levels
    finer = ", then ".join(f"the {level} one" for level in others)
    return (
        f"The {first} transformer writes the coarse codes of the next frame, {finer} the finer "
        "ones."
    )
