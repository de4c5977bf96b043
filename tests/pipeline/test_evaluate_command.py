"""`cvg evaluate --real --fake` and `cvg compare`: anyone's videos, without DVC."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from cvg.errors import UserError
from cvg.metrics.published import PUBLISHED, Published
from cvg.metrics.score_folders import FolderScorer
from pipeline.__main__ import app

FRAMES = 10


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A folder without params.yaml, and a store without weights."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CVG_WEIGHTS", str(tmp_path / "no weights"))
    monkeypatch.setenv("CVG_FEATURES", str(tmp_path / "features"))


@pytest.fixture
def folders(tmp_path):
    """Real videos, and two models of them."""
    rng = np.random.default_rng(0)
    for name, by in (("real", 0), ("a", 10), ("b", 30)):
        (tmp_path / name).mkdir()
        for number in range(6):
            clip = np.random.default_rng(number).integers(40, 200, (FRAMES, 16, 16, 3))
            spoilt = np.clip(clip + rng.normal(0, by or 1e-9, clip.shape), 0, 255).round()
            np.save(tmp_path / name / f"{number}.npy", spoilt.astype(np.uint8))
    return tmp_path


def run(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(result.exception, UserError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def test_two_models_are_scored_and_compared(folders):
    for name in ("a", "b"):
        words = ("--paired", "--length", FRAMES, "--context-frames", 2, "--scores", f"of_{name}")
        result = run("evaluate", "--real", "real", "--fake", name, *words, "--out", f"{name}.json")
        assert "psnr" in result.stdout
        assert "cvg weights fetch i3d-kinetics-400" in result.stderr
    figures = json.loads((folders / "a.json").read_text())
    assert figures["psnr"] == pytest.approx(28.1, abs=0.3)
    (score,) = (
        row
        for row in json.loads((folders / "of_a/protocol.json").read_text())
        if row["metric"] == "psnr"
    )
    assert score["protocol"]["split"] == "real"
    assert score["protocol"]["context_frames"] == 2
    compared = run("compare", "of_a", "of_b").stdout
    assert "A is better" in compared


def test_without_pairs_there_are_figures_of_sets_alone(folders):
    run("evaluate", "--real", "real", "--fake", "a", "--length", FRAMES, "--out", "figures.json")
    figures = json.loads((folders / "figures.json").read_text())
    assert set(figures) == {"motion_distance", "repeated"}


def test_more_samples_of_the_same_conditions(folders):
    words = ("--fake", "a", "--fake", "b", "--paired", "--length", FRAMES, "--out", "figures.json")
    run("evaluate", "--real", "real", *words)
    figures = json.loads((folders / "figures.json").read_text())
    assert figures["psnr_best_of_2"] > figures["psnr"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--fake", "a"], "--fake is given without --real"),
        (["--stride", "2"], "--stride is given without --real"),
        (
            ["--real", "real", "--fake", "a", "--frames", "8"],
            "--frames is of the stage, .* the frames of a clip are --length",
        ),
        (
            ["--real", "real", "--fake", "a", "--paired", "--protocol", "tats-ucf101"],
            "clips of two folders are no pairs",
        ),
        (
            ["--real", "real", "--fake", "a", "--protocol", "mcvd", "--fit", "squash"],
            "--protocol mcvd says fit already",
        ),
        (["--real", "real"], "--real is given without --fake"),
        (["--real", "real", "--fake", "none"], "none: found no folder"),
        (["--real", "real", "--fake", "a", "--protocol", "mine"], "expected one of stylegan-v-16f"),
        (
            ["--real", "real", "--fake", "a", "--protocol", "mcvd", "--size", "64"],
            "--protocol mcvd says size already",
        ),
        (
            ["--real", "real", "--fake", "a", "--protocol", "videogpt-bair"],
            "is of 256 clips on each side; found 6",
        ),
        (
            ["--real", "real", "--fake", "a", "--length", "10", "--context-frames", "10"],
            "--context-frames is 10; expected 0 to 9",
        ),
    ],
)
def test_wishes_that_cannot_be_met_are_refused(folders, words, message):
    with pytest.raises(UserError, match=message):
        run("evaluate", *words)


def test_a_folder_of_other_things_is_not_replaced(folders):
    (folders / "mine").mkdir()
    (folders / "mine/work.txt").write_text("mine")
    with pytest.raises(UserError, match=r"mine: holds files, but no protocol.json"):
        run("evaluate", "--real", "real", "--fake", "a", "--length", FRAMES, "--scores", "mine")


def test_a_published_protocol_that_is_met_is_in_every_figure(folders, monkeypatch):
    small = Published(
        name="small",
        used_by="this test",
        frames=8,
        stride=1,
        size=16,
        clips=6,
        context_frames=2,
        starts="random",
        divide_by_n=True,
        differs="nothing",
    )
    monkeypatch.setitem(PUBLISHED, "small", small)
    said = run(
        "evaluate", "--real", "real", "--fake", "a", "--protocol", "small", "--scores", "out"
    )
    assert "small: this test. Not followed: nothing." in said.stdout
    for row in json.loads((folders / "out/protocol.json").read_text()):
        protocol = row["protocol"]
        assert protocol["preset"] == "small"
        assert (protocol["frames"], protocol["context_frames"]) == (8, 2)
        assert (protocol["covariance"], protocol["starts"], protocol["fit"]) == (
            "n",
            "random",
            "crop",
        )


SAMPLES = ("--real", "real", "--fake", "a", "--fake", "b", "--paired", "--length", FRAMES)


def written(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.ci
def test_two_processes_give_the_bytes_of_one(folders):
    one = run("evaluate", *SAMPLES, "--scores", "one")
    two = run("evaluate", *SAMPLES, "--scores", "two", "--workers", 2)
    assert written(folders / "one") == written(folders / "two")
    assert one.stdout == two.stdout
    assert not [path for path in (folders / ".runs").rglob("*") if path.is_file()]


@pytest.fixture
def made(monkeypatch):
    """The parts that are made of videos; at the one that `made.stop` names it is interrupted."""
    monkeypatch.setattr("pipeline.mapped.Launch.is_alone", False)
    make = FolderScorer.make

    class Made(list):
        stop = None

    made = Made()

    def watched(scorer, number, folder, *, advance):
        if number == made.stop:
            raise KeyboardInterrupt
        make(scorer, number, folder, advance=advance)
        made.append(number)

    monkeypatch.setattr(FolderScorer, "make", watched)
    return made


@pytest.mark.parametrize("changes", [False, True])
def test_an_interrupted_evaluation_of_videos_goes_on_unless_a_video_changes(folders, made, changes):
    made.stop = 2
    with pytest.raises(AssertionError):
        run("evaluate", *SAMPLES, "--scores", "parts")
    assert not (folders / "parts").exists()
    if changes:
        (folders / "a/0.npy").touch()
    made.stop = None
    run("evaluate", *SAMPLES, "--scores", "parts")
    assert made == ([0, 1, 0, 1, 2] if changes else [0, 1, 2])


def test_parts_of_videos_give_the_bytes_of_none(folders, made, monkeypatch):
    run("evaluate", *SAMPLES, "--scores", "parts")
    monkeypatch.setattr("pipeline.mapped.Launch.is_alone", True)
    run("evaluate", *SAMPLES, "--scores", "one")
    assert made == [0, 1, 2]
    assert written(folders / "one") == written(folders / "parts")
