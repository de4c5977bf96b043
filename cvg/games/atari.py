"""Atari games; the package that emulates the console brings the games along."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import UInt8

from cvg.errors import UserError
from cvg.games.play import Game, Policy, seed_of

_CONSOLE_FPS = 60
# The console starts with pictures in other colours; nothing of a game happens in its first second.
_FRAMES_BEFORE = 60


def atari(name: str, *, frame_skip: int, seed: int) -> Game:
    """Give a game of the console.

    Args:
        name: for example `pong`.
        frame_skip: frames of the console from one written frame to the next; a button is held.
        seed: of the console.

    Raises:
        UserError: the emulator is not installed, or has no such game.
    """
    try:
        import ale_py
        from ale_py import roms
    except ImportError as error:
        raise UserError(
            "Atari games need the package ale-py; install it with pip install 'cvg[atari]'"
        ) from error
    known = roms.get_all_rom_ids()
    if name not in known:
        raise UserError(f"no game is called {name!r}; known are {', '.join(sorted(known))}")

    def console(episode: int) -> ale_py.ALEInterface:
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        machine = ale_py.ALEInterface()
        machine.setInt("random_seed", seed_of(seed, episode, "console"))
        # Else the console itself repeats buttons, and the actions are not those of the frames.
        machine.setFloat("repeat_action_probability", 0.0)
        machine.loadROM(str(roms.get_rom_path(name)))
        return machine

    buttons = console(0).getMinimalActionSet()

    def play(episode: int, policy: Policy) -> Iterator[tuple[UInt8[np.ndarray, "h w 3"], int]]:
        machine = console(episode)
        for _ in range(_FRAMES_BEFORE):
            machine.act(ale_py.Action.NOOP)
        frame = 0
        while not machine.game_over():
            button = policy(frame)
            yield machine.getScreenRGB(), button
            for _ in range(frame_skip):
                machine.act(buttons[button])
            frame += 1

    names = [button.name.lower() for button in buttons]
    return Game(
        name=name,
        buttons=names,
        fps=_CONSOLE_FPS / frame_skip,
        settings={"frame_skip": frame_skip},
        play=play,
    )
