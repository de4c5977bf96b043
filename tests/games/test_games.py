"""Games are played the same again, and the buttons stand beside the frames."""

import csv
import hashlib
import json
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from cvg.errors import UserError
from cvg.games.play import Game, random_policy, record


def counting(length):
    def play(episode, policy):
        for frame in range(length):
            button = policy(frame)
            yield np.full((4, 6, 3), 10 * episode + frame, dtype=np.uint8), button

    return Game(
        name="toy", buttons=("left", "right", "fire"), fps=15.0, settings={"level": 2}, play=play
    )


def test_frames_stand_beside_the_buttons_pressed_at_them(tmp_path):
    played = record(tmp_path / "set", counting(9), episodes=2, frames=5, seed=3)
    assert (played.clips, played.shortest) == (2, 5)
    with (tmp_path / "set" / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for episode, row in enumerate(rows):
        assert (row["label"], row["fps"]) == ("toy", "15")
        # All that the pixels depend on: DVC watches the manifest, not the clips.
        assert (row["level"], row["frames"], row["seed"]) == ("2", "5", "3")
        frames = np.load(tmp_path / "set" / row["path"], allow_pickle=False)
        assert frames[:, 0, 0, 0].tolist() == [10 * episode + frame for frame in range(5)]
        actions = np.load(tmp_path / "set" / row["actions"], allow_pickle=False)
        policy = random_policy(3, episode, 3)
        assert actions.dtype == np.float32
        assert (actions.sum(axis=1) == 1).all()
        assert actions.argmax(axis=1).tolist() == [policy(frame) for frame in range(5)]
    assert json.loads((tmp_path / "set" / "game.json").read_text())["buttons"] == [
        "left",
        "right",
        "fire",
    ]


def test_a_game_that_is_over_early_gives_a_shorter_clip(tmp_path):
    assert record(tmp_path / "set", counting(4), episodes=1, frames=9, seed=0).shortest == 4


def test_buttons_are_held_for_some_frames_and_all_are_pressed():
    policy = random_policy(0, 0, 6)
    pressed = [policy(frame) for frame in range(600)]
    changes = sum(a != b for a, b in pairwise(pressed))
    assert 80 < changes < 170
    assert set(pressed) == set(range(6))


PLAY = """
import sys
from itertools import pairwise
from pathlib import Path
from cvg.games.play import record
{module}
record(Path(sys.argv[1]), game, episodes=2, frames={frames}, seed=1)
print("torch" in sys.modules)
"""
ATARI = "from cvg.games.atari import atari; game = atari('pong', frame_skip=4, seed=1)"
CRAFTER = "from cvg.games.crafter import crafter; game = crafter(size=36, seed=1)"


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize(
    ("module", "shape", "buttons"),
    [(ATARI, (40, 210, 160, 3), 6), (CRAFTER, (120, 36, 36, 3), 17)],
)
def test_a_game_is_the_same_in_another_process(root, tmp_path, module, shape, buttons):
    program = PLAY.format(module=module, frames=shape[0])
    digests = []
    for name in ("a", "b"):
        command = [sys.executable, "-c", program, str(tmp_path / name)]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
        assert done.stdout == "False\n"
        digests.append(
            [
                hashlib.sha256(path.read_bytes()).hexdigest()
                for path in sorted((tmp_path / name).rglob("*.*"))
            ]
        )
    assert digests[0] == digests[1]
    first, second = (np.load(tmp_path / "a" / "clips" / f"0000{k}.npy") for k in (0, 1))
    assert first.shape == shape
    assert first.dtype == np.uint8
    assert first.std(axis=0).max() > 0
    assert not np.array_equal(first, second[: len(first)])
    assert np.load(tmp_path / "a" / "actions" / "00000.npy").shape == (shape[0], buttons)


def test_an_unknown_game_and_a_missing_package_are_said(monkeypatch):
    from cvg.games.atari import atari
    from cvg.games.crafter import crafter

    with pytest.raises(UserError, match=r"'chess'; known are .*pong"):
        atari("chess", frame_skip=4, seed=0)
    monkeypatch.setitem(sys.modules, "ale_py", None)
    monkeypatch.setitem(sys.modules, "crafter", None)
    with pytest.raises(UserError, match=r"cvg\[atari\]"):
        atari("pong", frame_skip=4, seed=0)
    with pytest.raises(UserError, match=r"cvg\[crafter\]"):
        crafter(size=64, seed=0)
