"""A training stage that is killed goes on where it was, and gives the same bytes."""

import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TOYS = runpy.run_path(str(Path(__file__).parents[1] / "toys.py"))
CHECKPOINTS = "state/.runs/*/*/checkpoints/step-*"
SMALL = {
    "width": 16,
    "heads": 2,
    "layers": 1,
    "clip_frames": 3,
    "batch_size": 2,
    "warmup_steps": 2,
    "validate_every": 10,
    "steps": 200,
}


def start(root, folder, name, *options):
    """Start the training of a tiny transformer on toy codes."""
    command = [sys.executable, "-m", "pipeline", "train-transformer", "--level", "top"]
    command += ["--codes", folder / "codes", "--out", folder / name / "out"]
    command += ["--plot", folder / name / "plot.csv", *options]
    for key, value in SMALL.items():
        command += ["--set", f"transformer.top.{key}={value}"]
    return subprocess.Popen(
        [str(word) for word in command],
        cwd=root,
        env=os.environ | {"CVG_STATE_DIR": str(folder / "state")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    return out


def wait_for_a_checkpoint(process, folder, *, beyond=()):
    until = time.monotonic() + 60
    while not set(folder.glob(CHECKPOINTS)) - set(beyond):
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.005)


def kill_after_a_checkpoint(process, folder):
    """Wait for the first checkpoint, then kill."""
    wait_for_a_checkpoint(process, folder)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def content(folder):
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.slow
@pytest.mark.ci
def test_a_killed_training_goes_on_and_gives_the_same_bytes(root, tmp_path):
    TOYS["write_codes"](tmp_path / "codes")
    assert "goes on" not in finish(start(root, tmp_path, "whole"))
    assert not list(tmp_path.glob("state/.runs/*/*"))  # success leaves nothing

    kill_after_a_checkpoint(start(root, tmp_path, "killed"), tmp_path)
    assert content(tmp_path / "killed") == {}
    out = finish(start(root, tmp_path, "killed"))
    assert "train-transformer top: goes on from step" in out
    assert content(tmp_path / "killed") == content(tmp_path / "whole")

    kill_after_a_checkpoint(start(root, tmp_path, "fresh"), tmp_path)
    assert "goes on" not in finish(start(root, tmp_path, "fresh", "--fresh"))
    assert content(tmp_path / "fresh") == content(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.ci
def test_a_signal_keeps_the_step_and_leaves_with_its_own_status(root, tmp_path):
    TOYS["write_codes"](tmp_path / "codes")
    finish(start(root, tmp_path, "whole"))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        before = list(tmp_path.glob(CHECKPOINTS))
        process = start(root, tmp_path, "stopped")
        wait_for_a_checkpoint(process, tmp_path, beyond=before)
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 128 + number, out
        assert f"stopped by {number.name}" in out
        assert "Traceback" not in out
    assert content(tmp_path / "stopped") == {}
    assert "goes on from step" in finish(start(root, tmp_path, "stopped"))
    assert content(tmp_path / "stopped") == content(tmp_path / "whole")
