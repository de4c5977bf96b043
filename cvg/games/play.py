"""Writing what happens in a game while somebody presses buttons at random, with the buttons."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from cvg.files import replacing_folder, write_json
from cvg.progress import Steps
from cvg.videos.table import write_manifest

FORMAT_VERSION = 1
MANIFEST = "manifest.csv"
# A button is held for four frames on average: held for one, it hardly moves anything.
_CHANGES_OF_FOUR = 1


@dataclass(frozen=True, kw_only=True)
class Game:
    """A game that can be played.

    Attributes:
        name: becomes the label of its clips.
        buttons: names of the actions.
        fps: frames a second.
        settings: what else its pictures depend on beside the seed, by name.
        play: takes the number of an episode and a policy (from the number of a frame to the number
            of a button), and gives frames with the button pressed at each, until the game is over.
    """

    name: str
    buttons: Sequence[str]
    fps: float
    settings: Mapping[str, int]
    play: Callable[[int, "Policy"], Iterator[tuple[UInt8[np.ndarray, "h w 3"], int]]]


Policy = Callable[[int], int]


@dataclass(frozen=True, kw_only=True)
class Played:
    """What was written: the number of clips, and the frames of the shortest of them."""

    clips: int
    shortest: int


def seed_of(seed: int, episode: int, purpose: str) -> int:
    """Give a 31-bit seed for a purpose, the same on every machine.

    >>> seed_of(0, 1, "game") == seed_of(0, 1, "game")
    True
    """
    digest = hashlib.sha256(f"{seed}/{episode}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def random_policy(seed: int, episode: int, num_buttons: int) -> Policy:
    """Press random buttons, each held for some frames; ask for the frames in their order."""
    held = 0

    def press(frame: int) -> int:
        nonlocal held
        drawn = seed_of(seed, episode, f"button {frame}")
        if frame == 0 or drawn % 4 < _CHANGES_OF_FOUR:
            held = drawn // 4 % num_buttons
        return held

    return press


def record(folder: Path, game: Game, *, episodes: int, frames: int, seed: int) -> Played:
    """Play and write one clip an episode, whole or not at all.

    Args:
        folder: gets `manifest.csv`, `game.json`, and for episode k `clips/k.npy` (uint8
            [t, h, w, 3]) and `actions/k.npy` (float32 [t, buttons]: 1 at the button that is pressed
            at a frame and leads to the next).
        game: what is played.
        episodes: how many.
        frames: of each clip; fewer where the game is over before.
        seed: of the buttons.
    """
    rows: list[dict[str, object]] = []
    lengths: list[int] = []
    with (
        replacing_folder(folder, marker=MANIFEST) as temporary,
        Steps(f"play {game.name}", total=episodes) as steps,
    ):
        for part in ("clips", "actions"):
            (temporary / part).mkdir()
        for episode in range(episodes):
            policy = random_policy(seed, episode, len(game.buttons))
            pictures, pressed = zip(*islice(game.play(episode, policy), frames), strict=True)
            # With all that the pixels depend on, because DVC watches the manifest, not the clips.
            row: dict[str, object] = {
                "path": f"clips/{episode:05}.npy",
                "label": game.name,
                "fps": f"{game.fps:g}",
                "actions": f"actions/{episode:05}.npy",
                **game.settings,
                "frames": frames,
                "seed": seed,
            }
            np.save(temporary / str(row["path"]), np.stack(pictures))
            actions = np.eye(len(game.buttons), dtype=np.float32)[list(pressed)]
            np.save(temporary / str(row["actions"]), actions)
            rows.append(row)
            lengths.append(len(pictures))
            steps.advance()
        write_manifest(temporary / MANIFEST, rows)
        header = {"format_version": FORMAT_VERSION, "game": game.name, "fps": game.fps}
        settings = {"episodes": episodes, "frames": frames, "seed": seed}
        buttons = {"buttons": list(game.buttons)}
        write_json(temporary / "game.json", header | settings | buttons)
    return Played(clips=len(lengths), shortest=min(lengths))
