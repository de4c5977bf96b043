"""Crafter, a small open world seen from above."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import UInt8

from cvg.errors import UserError
from cvg.games.play import Game, Policy, seed_of

# The game has no clock; at this rate its walks look right.
_FPS = 10.0


def crafter(*, size: int, seed: int) -> Game:
    """Give the game.

    Args:
        size: height and width of its pictures, pixels.
        seed: of its worlds.

    Raises:
        UserError: it is not installed.
    """
    try:
        import crafter as package
    except ImportError as error:
        raise UserError(
            "Crafter needs the package crafter; install it with pip install 'cvg[crafter]'"
        ) from error

    class World(package.Env):
        """Its creatures in an order of their own, not in the order of their addresses."""

        def _balance_object(  # pyright: ignore[reportIncompatibleMethodOverride] - passes all on
            self, chunk: Any, objs: Any, *rest: Any
        ) -> None:
            ordered = sorted(objs, key=lambda creature: tuple(creature.pos))
            super()._balance_object(chunk, ordered, *rest)

    def play(episode: int, policy: Policy) -> Iterator[tuple[UInt8[np.ndarray, "h w 3"], int]]:
        world = World(size=(size, size), seed=seed_of(seed, episode, "world"))
        picture, over, frame = world.reset(), False, 0
        while not over:
            button = policy(frame)
            yield picture, button
            picture, _, over, _ = world.step(button)
            frame += 1

    names = list(World(size=(size, size), seed=0).action_names)
    return Game(name="crafter", buttons=names, fps=_FPS, settings={"size": size}, play=play)
