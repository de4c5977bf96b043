"""Captions of scenes and back: every caption that is written can be read, with nothing lost.

The longest caption has 15 words, so that a model that reads 16 words reads all of it.
"""

import re
from itertools import pairwise

from cvg.shapes.scene import COLOURS, DIRECTIONS, SHAPES, SPEEDS, Borders, Motion, Mover, Scene

_VERBS = {Borders.WRAP: "moves", Borders.BOUNCE: "starts"}


def caption(scene: Scene) -> str:
    """Say what a scene shows.

    >>> caption((Mover(shape="circle", colour="red"),))
    'a red circle'
    >>> motion = Motion(direction="up left", speed="fast")
    >>> caption((Mover(shape="cross", colour="blue", motion=motion),))
    'a blue cross moves up left fast'
    """
    return ", and ".join(_say(mover) for mover in scene)


def parse(text: str) -> Scene:
    """Read a caption of `caption`, whatever its case, spaces and punctuation.

    Raises:
        ValueError: it is none.
    """
    words = " ".join(re.findall(r"\w+", text.lower()))
    scene = tuple(_read(part, text) for part in words.split(" and "))
    if any(first.colour == second.colour for first, second in pairwise(scene)):
        raise ValueError(f"{text!r} names one colour twice; expected two colours")
    return scene


def _say(mover: Mover) -> str:
    thing = f"a {mover.colour} {mover.shape}"
    motion = mover.motion
    if motion is None:
        return thing
    return f"{thing} {_VERBS[motion.borders]} {motion.direction} {motion.speed}"


_MOVER = re.compile(
    rf"an? (?P<colour>{'|'.join(COLOURS)}) (?P<shape>{'|'.join(SHAPES)})"
    rf"(?: (?P<verb>{'|'.join(_VERBS.values())}) "
    rf"(?P<direction>{'|'.join(DIRECTIONS)}) (?P<speed>{'|'.join(SPEEDS)}))?"
)


def _read(part: str, text: str) -> Mover:
    found = _MOVER.fullmatch(part)
    if found is None:
        raise ValueError(
            f"{text!r} is no caption of shapes: found {part!r}, expected for example "
            "'a red circle moves up left fast'"
        )
    motion = None
    if found["verb"]:
        borders = next(borders for borders, verb in _VERBS.items() if verb == found["verb"])
        motion = Motion(direction=found["direction"], speed=found["speed"], borders=borders)
    return Mover(shape=found["shape"], colour=found["colour"], motion=motion)
