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


SLOW = (pytest.mark.slow, pytest.mark.ci)


@pytest.mark.parametrize(
    ("preset", "devices"),
    [
        ("quick", 4),
        pytest.param("demo", 1, marks=SLOW),
        pytest.param("shapes", 1, marks=SLOW),
        pytest.param("large", 1, marks=SLOW),
        pytest.param("huge", 8, marks=SLOW),
    ],
)
def test_every_preset_fits_the_devices_that_its_comment_says(run, preset, devices):
    text = run("--preset", preset, "--devices", str(devices))
    for stage in (
        "│ vqgan",
        "│ top",
        "│ bottom",
        "│ critic",
    ):
        assert text.count(stage) >= 3
    assert ("│ middle" in text) == (preset == "huge")
    assert "NO" not in text
    assert "lower" not in text


def test_values_can_be_replaced(run):
    text = run("--preset", "quick", "--set", "transformer.top.layers=40")
    assert "blocks 1.1" in text  # 40 layers of 48 channels
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
