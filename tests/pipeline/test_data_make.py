"""`cvg data make` as a command."""

import json

import pytest
from typer.testing import CliRunner

from pipeline.data_make import app


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_shapes_are_made_and_read_back(tmp_path):
    words = "--clips 12 --frames 6 --size 32 --seed 4 --shapes 2 --borders bounce --plain"
    result = run("shapes", tmp_path / "set", *words.split(), "--hold-out", 3, "--fps", 8)
    assert result.exit_code == 0, result.output
    assert "12 clips" in result.stdout
    assert "12 of 12 clips are as their captions say" in result.stdout
    settings = json.loads((tmp_path / "set" / "shapes.json").read_text())["settings"]
    world = {"frames": 6, "size": 32, "seed": 4, "shapes": 2, "borders": "bounce"}
    assert settings["world"] == world | {"texture": False, "turns": False}
    assert (settings["clips"], settings["hold_out"], settings["fps"]) == (12, 3, 8)


def test_a_set_is_replaced_by_another(tmp_path):
    for clips in (4, 3):
        result = run("shapes", tmp_path / "set", "--clips", clips, "--size", 32)
        assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "set" / "clips").iterdir())) == 3


def test_a_set_of_which_nothing_is_held_out_is_said(tmp_path):
    words = ("shapes", tmp_path / "set", "--clips", 3, "--size", 32)
    result = run(*words)
    assert "2 for training, 1 held out" in result.stdout
    assert "no clip is held out" not in result.stderr
    result = run(*words, "--held-out-share", 0)
    assert "3 for training, 0 held out" in result.stdout
    assert "no clip is held out" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        "--size 31",
        "--shapes 3",
        "--borders stop",
        "--frames 1",
        "--fps nan",
        "--held-out-share nan",
    ],
)
def test_values_out_of_range_are_refused(tmp_path, words):
    result = run("shapes", tmp_path / "set", *words.split())
    assert result.exit_code == 2
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("atari --episodes 1 --frames 5", "1 clips of pong, 6 buttons"),
        pytest.param(
            "crafter --episodes 1 --frames 5 --size 36",
            "1 clips of crafter, 17 buttons",
            marks=[pytest.mark.slow, pytest.mark.ci],
        ),
    ],
)
def test_games_are_recorded(tmp_path, words, said):
    name, *options = words.split()
    result = run(name, tmp_path / "set", *options)
    assert result.exit_code == 0, result.output
    assert said in result.stdout
