"""`cvg plan`."""

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


@pytest.mark.parametrize("preset", ["quick", "demo", "shapes", "large", "huge"])
def test_every_preset_can_be_planned(run, preset):
    text = run("--preset", preset, "--devices", "4")
    stages = ["train_vqgan", "train_transformer@top", "train_transformer@bottom", "train_critic"]
    for stage in stages:
        assert text.count(stage) >= 3
    assert "days for all that trains" in text


def test_values_can_be_replaced(run):
    few, many = run(), run("--set", "transformer.top.layers=40")
    assert "blocks 0.8" in few
    assert "blocks 7.9" in many


def test_what_does_not_fit_is_said(run):
    assert "NO" not in run("--memory-gb", "80")
    text = run("--memory-gb", "0.15")
    assert "NO" in text
    assert "lower transformer.top.batch_size from 16 to" in text


def test_days_follow_the_rate(run):
    def days(*words):
        return float(run(*words).partition(" days for all")[0].splitlines()[-1])

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
    assert "train_transformer@bottom" in text.partition("measured rates")[2]
