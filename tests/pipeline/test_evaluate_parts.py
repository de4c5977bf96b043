"""Samples are scored in parts: one process, shares, kills, features seen before: the same bytes."""

import json
import random
import runpy
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from cvg.errors import UserError
from cvg.metrics.features import FeatureNetwork
from cvg.metrics.networks import Networks
from cvg.metrics.scores import Network
from pipeline.evaluate import evaluate

TOYS = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "toys.py")))
CLIPS = 5
SETS = 10  # the real clips, the samples, two baselines, six controls
PARTS = 3 * SETS


@pytest.fixture(scope="module")
def run_of(tmp_path_factory):
    """A folder with all that the stage reads."""
    return TOYS.write_run(tmp_path_factory.mktemp("toy") / "run", clips=CLIPS)


@pytest.fixture
def command(run_of, tmp_path, root, monkeypatch):
    """Runs `cvg evaluate` on parts of two clips; gives how many clips are embedded."""
    monkeypatch.setenv("CVG_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("CVG_FEATURES", str(tmp_path / "features"))
    monkeypatch.setattr("cvg.metrics.parts.FEWEST_CLIPS", 2)
    monkeypatch.chdir(root)
    folder = tmp_path / "run"
    shutil.copytree(run_of, folder)

    def run(*, out="out", calls=None, **launch):
        seen = []

        def embed(clips):
            if len(seen) == calls:
                raise KeyboardInterrupt
            seen.append(len(clips))
            # As in true networks, last bits depend on what is embedded together.
            return clips.astype(float).mean(axis=(2, 3, 4)) + clips.mean() * 1e-9

        network = FeatureNetwork(
            network=Network(name="toy", weights_sha256="ab" * 32),
            embed=embed,
            min_frames=1,
            resize="none",
        )
        both = Networks(
            features=network,
            frames=replace(network, per_frame=True, version="2"),
            missing=("lpips: no",),
        )
        monkeypatch.setattr("cvg.metrics.evaluator.load_networks", lambda **_: both)
        given = {
            name: folder / name
            for name in ("frames", "vqgan", "transformer", "samples", "critic", "health")
        }
        evaluate(
            **given,
            out=tmp_path / out / "metrics.json",
            scores=tmp_path / out / "scores",
            params_path=root / "params.yaml",
            **launch,
        )
        return sum(seen)

    return run


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}


def left_behind(tmp_path):
    return [path for path in (tmp_path / "state").rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def known():
    """What is made once."""
    return {}


@pytest.fixture
def whole(command, tmp_path, known):
    """What one process writes, where no feature was kept."""
    if not known:
        assert command(out="whole") == 2 * SETS * CLIPS
        shutil.rmtree(tmp_path / "features")
        assert not left_behind(tmp_path)
        known.update(contents(tmp_path / "whole"))
    return known


def test_one_process_gives_all_figures(whole):
    figures = json.loads(whole["metrics.json"])
    assert list(figures) == ["vqgan", "codes", "sample", "baseline", "control", "transformer"]
    assert len(figures["baseline"]) + len(figures["control"]) == SETS - 2
    assert {"fvd_toy", "psnr", "copied", "critic_auc"} <= set(figures["sample"])


@pytest.mark.parametrize("seed", range(2))
def test_shares_in_any_order_with_repeats_give_the_bytes_of_one_run(
    command, whole, tmp_path, capsys, seed
):
    rng = random.Random(seed)
    order = [*range(1, 5), *rng.choices(range(1, 5), k=2)]
    rng.shuffle(order)
    for number in order:
        command(shard=f"{number}/4")
    assert contents(tmp_path / "out") == whole
    said = capsys.readouterr().out
    assert f"of {PARTS} parts are still missing in" in said
    assert said.count("evaluate: wrote") == 1
    assert {path.suffix for path in left_behind(tmp_path)} == {".joined"}


def test_features_that_were_kept_before_change_no_byte(command, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as other:
        other.setattr("cvg.metrics.parts.FEWEST_CLIPS", 3)
        command(out="other")
    command()
    assert contents(tmp_path / "out") == whole


def test_a_crash_costs_one_part_and_the_same_command_goes_on(command, whole, tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt):
        command(calls=11)
    shutil.rmtree(tmp_path / "features")
    assert not (tmp_path / "out").exists()
    assert command() == 2 * SETS * CLIPS - 2 * (CLIPS + 4)  # five parts were done
    assert f"evaluate: 5 of {PARTS} parts are there already" in capsys.readouterr().err
    assert contents(tmp_path / "out") == whole
    assert not left_behind(tmp_path)


@pytest.mark.parametrize("lost", ["metrics.json", "scores/protocol.json"])
def test_a_share_after_the_joining_does_nothing_unless_an_output_is_gone(
    command, whole, tmp_path, capsys, lost
):
    command(shard="1/1")
    assert command(shard="1/1") == 0
    assert "was joined of these parts already" in capsys.readouterr().out
    (tmp_path / "out" / lost).unlink()
    if lost != "metrics.json":
        shutil.rmtree(tmp_path / "out/scores")
    command(shard="1/1")
    assert contents(tmp_path / "out") == whole


@pytest.mark.parametrize("changed", ["health/figures.json", "transformer/top/figures.json"])
def test_parts_beside_other_figures_are_never_joined(command, whole, tmp_path, changed):
    command(shard="1/2")
    path = tmp_path / "run" / changed
    before = path.read_text()
    path.write_text(before.replace("1.5", "1.6").replace("20.0", "21.0"))
    command(shard="2/2")
    assert not (tmp_path / "out").exists()
    path.write_text(before)
    command(shard="2/2")
    assert contents(tmp_path / "out") == whole


def test_videos_of_any_model_have_no_shares(tmp_path):
    for option in ({"shard": "1/2"}, {"fresh": True}):
        with pytest.raises(UserError, match="is of the stage, and --real scores folders of videos"):
            evaluate(real=tmp_path, fake=[tmp_path], **option)
