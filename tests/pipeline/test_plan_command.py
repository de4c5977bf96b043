"""`cvg plan`."""

import os
import subprocess
import sys

import pytest
from typer import Typer
from typer.testing import CliRunner

from cvg.errors import UserError
from pipeline.plan import plan

APP = Typer()
APP.command()(plan)


@pytest.fixture
def run(root, monkeypatch):
    """Run the command with some words; give what it printed."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words):
        params = ["--params", str(root / "params.yaml")]
        done = CliRunner().invoke(APP, [*words, *params], catch_exceptions=False)
        assert done.exit_code == 0
        return done.output

    return run


def assert_fits(text, *, levels):
    for stage in ("vqgan", *levels, "critic"):
        assert text.count(f"│ {stage}") >= 3
    assert text.count("│ middle") == 0 or "middle" in levels
    assert "NO" not in text
    assert "lower" not in text


def test_the_preset_quick_fits_four_devices(run):
    assert_fits(run("--preset", "quick", "--devices", "4"), levels=("top", "bottom"))


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize(
    ("preset", "devices", "levels"),
    [
        ("demo", 1, ("top", "bottom")),
        ("shapes", 1, ("top", "bottom")),
        ("large", 1, ("top", "bottom")),
        ("huge", 8, ("top", "middle", "bottom")),
    ],
)
def test_every_preset_fits_the_devices_that_its_comment_says(root, preset, devices, levels):
    # As people run it: the types that tests check at each call take as long as all else.
    command = f"-m pipeline plan --preset {preset} --devices {devices}"
    done = subprocess.run(
        [sys.executable, *command.split()],
        cwd=root,
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert_fits(done.stdout, levels=levels)


def test_values_can_be_replaced(run):
    text = run("--preset", "quick", "--set", "transformer.top.layers=11")
    assert "blocks 0.3" in text  # 11 layers of 48 channels
    assert "blocks 0.1" in text  # the bottom's


def test_what_does_not_fit_is_said(run):
    text = run(
        "--preset", "quick", "--set", "transformer.bottom.batch_size=1024", "--memory-gb", "0.1"
    )
    assert "NO" in text
    assert "lower transformer.bottom.batch_size from 1024 to" in text


def test_days_follow_the_rate(run):
    def days(*words):
        return float(
            run("--preset", "quick", *words).partition(" days for all")[0].splitlines()[-1]
        )

    assert days("--tflops", "0.001") == pytest.approx(10 * days("--tflops", "0.01"), rel=0.01)


def test_wrong_values_are_refused(root):
    with pytest.raises(UserError, match="no such preset"):
        CliRunner().invoke(
            APP, ["--preset", "tiny", "--params", str(root / "params.yaml")], catch_exceptions=False
        )
    assert CliRunner().invoke(APP, ["--devices", "0"]).exit_code == 2
    assert CliRunner().invoke(APP, ["--tflops", "nan"]).exit_code == 2


@pytest.mark.slow
@pytest.mark.ci
def test_this_machine_can_be_measured(run):
    text = run("--preset", "quick", "--precision", "fp32", "--measure")
    assert "at the measured rates: a large product reaches" in text
    assert "bottom" in text.partition("measured rates")[2]
