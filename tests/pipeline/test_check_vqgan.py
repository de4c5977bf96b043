"""The check-vqgan stage as a command, and what evaluate takes from it."""

import json
import runpy
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from cvg.critic.store import save_critic
from cvg.errors import UserError
from cvg.frames.samples import SampledClip, Samples, save_samples, true_clips
from cvg.vqgan.store import load_vqgan, save_vqgan
from pipeline.check_vqgan import check_vqgan
from pipeline.evaluate import evaluate

TOYS = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "toys.py")))
LEVELS = ("top", "bottom")
LOOSE = {"min_psnr": "0.0", "min_psnr_top": "0.0", "min_usage": "0.0", "min_perplexity": "0.0"}

app = typer.Typer()
app.command("check-vqgan")(check_vqgan)
app.command("evaluate")(evaluate)


@pytest.fixture
def folder(root, tmp_path, monkeypatch):
    """Frames and an untrained VQGAN; no pretrained network is at hand."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CVG_WEIGHTS", str(tmp_path / "weights"))
    shutil.copy(root / "params.yaml", tmp_path)
    TOYS.write_frames(tmp_path / "frames")
    save(tmp_path / "vqgan", seed=0)
    return tmp_path


def save(folder, *, seed):
    folder.mkdir()
    save_vqgan(folder, TOYS.toy_vqgan(seed))


def check(*, out="health", vqgan="vqgan", **bounds):
    words = ["--frames", "frames", "--vqgan", vqgan, "--out", out]
    for key, value in (LOOSE | bounds).items():
        words += ["--set", f"check_vqgan.{key}={value}"]
    return CliRunner().invoke(app, ["check-vqgan", *words])


def test_a_check_writes_figures_and_gates_and_says_what_is_left_out(folder):
    result = check()
    assert result.exit_code == 0, result.output
    assert "check_vqgan: wrote health in" in result.stdout
    assert "vqgan.psnr" in result.stdout
    assert "WARNING: lpips_alex is left out" in result.stderr
    assert "WARNING: fvd is left out" in result.stderr
    assert "`dvc repro -f --single-item check_vqgan`" in result.stderr
    assert "health gate" not in result.stderr
    figures = json.loads((folder / "health/figures.json").read_text())
    assert set(figures) == {"vqgan", "codes"}
    assert set(figures["codes"]) == set(LEVELS)
    gates = {row["figure"]: row for row in json.loads((folder / "health/gates.json").read_text())}
    assert gates["vqgan.psnr"]["passed"] is True
    assert gates["vqgan.lpips"]["passed"] is None
    assert json.loads((folder / "health/protocol.json").read_text()) == []


def test_a_missed_bound_is_loud_and_what_follows_still_runs(folder):
    result = check(min_psnr="99.0")
    assert result.exit_code == 0, result.output
    assert "WARNING: health gate: held-out vqgan.psnr is" in result.stderr
    assert "below check_vqgan.min_psnr = 99; what follows can be no better" in result.stderr
    assert (folder / "health/gates.json").is_file()


def test_a_strict_bound_stops_and_its_figures_are_there_to_be_read(folder):
    result = check(min_psnr="99.0", strict="true")
    assert isinstance(result.exception, UserError)
    assert "the VQGAN is not fit for use: held-out vqgan.psnr is" in str(result.exception)
    gates = {row["figure"]: row for row in json.loads((folder / "health/gates.json").read_text())}
    assert gates["vqgan.psnr"]["passed"] is False


def test_strict_passes_a_good_vqgan_and_none_that_is_only_half_measured(folder):
    assert check(strict="true", max_lpips="null").exit_code == 0
    half = check(strict="true")
    assert isinstance(half.exception, UserError)
    assert "vqgan.lpips could not be measured" in str(half.exception)


def test_the_same_check_gives_the_same_bytes(folder):
    for out in ("one", "two"):
        assert check(out=out).exit_code == 0
    for path in (folder / "one").iterdir():
        assert path.read_bytes() == (folder / "two" / path.name).read_bytes(), path.name


@pytest.fixture
def evaluation(folder):
    """Samples and the figures of the transformers, and the words of the command."""
    from cvg.frames.store import FrameStore

    store = FrameStore.open(folder / "frames")
    part = store.segments("held_out")[0]
    clip = SampledClip(
        name="clip", segment=part.id, start=0, video=part.video, caption=None, label=None
    )
    _, vqgan_hash = load_vqgan(folder / "vqgan")
    samples = Samples(
        frames=store.window(part, 1, 6)[None], clips=[clip], context_frames=2, vqgan_hash=vqgan_hash
    )
    samples.frames[:, :2] = true_clips(store, samples)[:, :2]
    (folder / "samples").mkdir()
    save_samples(folder / "samples", samples)
    for level in LEVELS:
        (folder / "transformer" / level).mkdir(parents=True)
        figures = {"held_out": {"nll": 1.5}}
        (folder / "transformer" / level / "figures.json").write_text(json.dumps(figures))
    (folder / "critic").mkdir()
    save_critic(folder / "critic", TOYS.toy_critic(vqgan_hash=load_vqgan(folder / "vqgan")[1]))
    words = ["--out", "metrics.json", "--scores", "scores", "--health", "health"]
    for name in ("frames", "vqgan", "transformer", "samples", "critic"):
        words += [f"--{name}", name]
    return ["evaluate", *words]


def test_evaluate_takes_the_figures_over(folder, evaluation):
    assert check().exit_code == 0
    result = CliRunner().invoke(app, evaluation)
    assert result.exit_code == 0, result.output
    metrics = json.loads((folder / "metrics.json").read_text())
    checked = json.loads((folder / "health/figures.json").read_text())
    assert {name: metrics[name] for name in checked} == checked
    assert {"sample", "baseline", "control"} <= set(metrics)
    assert metrics["transformer"] == {level: {"nll": 1.5} for level in LEVELS}


def test_evaluate_refuses_the_check_of_another_vqgan(folder, evaluation):
    save(folder / "other", seed=1)
    assert check(vqgan="other").exit_code == 0
    result = CliRunner().invoke(app, evaluation)
    assert isinstance(result.exception, UserError)
    assert "health: made with VQGAN" in str(result.exception)
    assert not (folder / "metrics.json").exists()
