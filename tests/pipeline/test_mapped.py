"""Stages that are done in parts: one process, several shares, kills, repeats: the same bytes."""

import os
import random
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cvg.codes.layout import layout_of
from cvg.errors import UserError
from cvg.transformer.store import TrainedTransformer, save_transformer
from cvg.vqgan.model import Vqgan
from cvg.vqgan.store import load_vqgan, save_vqgan
from pipeline.sample import sample
from pipeline.tokenize import tokenize

TOYS = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "toys.py")))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return TOYS.write_frames(tmp_path_factory.mktemp("mapped") / "frames")


@pytest.fixture
def command(store, tmp_path, root, monkeypatch):
    """Runs `cvg tokenize` on 11 parts of up to 4 frames; gives the frames that it encodes."""
    monkeypatch.setenv("CVG_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr("cvg.vqgan.tokenize.SHARD_FRAMES", 20)
    monkeypatch.chdir(root)
    encode = Vqgan.encode

    def run(*, seed=0, calls=None, fresh=False, shard=None, out="out", batch=4):
        model = tmp_path / f"vqgan{seed}"
        model.mkdir(exist_ok=True)
        save_vqgan(model, TOYS.toy_vqgan(seed))
        seen = []

        def watched(vqgan, frames):
            if len(seen) == calls:
                raise KeyboardInterrupt
            seen.append(len(frames))
            return encode(vqgan, frames)

        monkeypatch.setattr(Vqgan, "encode", watched)
        tokenize(
            frames=store.folder,
            vqgan=model,
            out=tmp_path / out,
            params_path=root / "params.yaml",
            overrides=[f"tokenize.batch_size={batch}"],
            fresh=fresh,
            shard=shard,
        )
        return sum(seen)

    return run


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def left_behind(tmp_path):
    return [path for path in (tmp_path / "state").rglob("*") if path.is_file()]


@pytest.fixture
def whole(command, tmp_path):
    assert command(out="whole") == 42
    return contents(tmp_path / "whole")


def test_a_crash_costs_one_part_and_leaves_nothing_behind(command, whole, tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt):
        command(calls=7)
    assert not (tmp_path / "out").exists()
    assert command() == 42 - 7 * 4
    assert "tokenize: 7 of 11 parts are there already" in capsys.readouterr().err
    assert contents(tmp_path / "out") == whole
    assert not left_behind(tmp_path)


def test_it_begins_anew_when_told_to(command):
    with pytest.raises(KeyboardInterrupt):
        command(calls=7)
    assert command(fresh=True) == 42


def test_another_vqgan_or_other_values_leave_an_interrupted_run_alone(command):
    with pytest.raises(KeyboardInterrupt):
        command(calls=7)
    assert command(seed=1) == 42
    assert command(batch=5) == 42
    assert command() == 42 - 28


@pytest.mark.parametrize("seed", range(4))
def test_shares_in_any_order_with_repeats_give_the_bytes_of_one_run(
    command, whole, tmp_path, capsys, seed
):
    rng = random.Random(seed)
    order = [*range(1, 5), *rng.choices(range(1, 5), k=3)]
    rng.shuffle(order)
    made = sum(command(shard=f"{number}/4") for number in order)
    assert made == 42  # each part once
    assert contents(tmp_path / "out") == whole
    said = capsys.readouterr().out
    assert "of 11 parts are still missing in" in said
    assert said.count("tokenize: wrote") == 1
    assert {path.suffix for path in left_behind(tmp_path)} == {".joined"}


def test_shares_of_different_arrays_and_a_plain_run_work_together(command, whole, tmp_path):
    command(shard="1/3")
    command(shard="2/5")
    with pytest.raises(KeyboardInterrupt):
        command(shard="3/3", calls=1)
    assert command() == 42 - 6 * 4
    assert contents(tmp_path / "out") == whole
    assert not left_behind(tmp_path)


def test_a_share_after_the_joining_does_nothing_unless_the_output_is_gone(
    command, whole, tmp_path, capsys
):
    assert command(shard="1/1") == 42
    assert command(shard="1/1") == 0
    assert "was joined of these parts already" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "out")
    assert command(shard="1/1") == 42
    assert contents(tmp_path / "out") == whole


def test_a_part_that_is_damaged_before_the_joining_is_made_again(command, whole, tmp_path, capsys):
    command(shard="1/2")
    part = next((tmp_path / "state").rglob("part-00002")) / "codes.safetensors"
    data = bytearray(part.read_bytes())
    data[-1] ^= 1
    part.write_bytes(data)
    assert command(shard="2/2") == 20 + 4
    assert "part-00002: codes.safetensors damaged; it is made again" in capsys.readouterr().err
    assert contents(tmp_path / "out") == whole


def test_a_share_of_other_values_waits_for_its_own(command, whole, tmp_path):
    command(shard="1/2")
    command(shard="2/2", seed=1)
    assert not (tmp_path / "out").exists()
    command(shard="2/2")
    assert contents(tmp_path / "out") == whole


def test_shares_of_processors_that_round_otherwise_are_never_joined(
    command, whole, tmp_path, monkeypatch
):
    command(shard="1/2")
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("cvg.training.runtime._processor", lambda _: "another")
        assert command(shard="2/2") == 20
    assert not (tmp_path / "out").exists()
    assert command(shard="2/2") == 20
    assert contents(tmp_path / "out") == whole


def test_shares_that_begin_anew_would_remove_what_others_did(command):
    with pytest.raises(
        UserError, match=r"--fresh would remove .* run cvg tokenize --fresh without"
    ):
        command(shard="1/2", fresh=True)


def test_what_is_no_share_is_refused(command):
    with pytest.raises(UserError, match="--shard 9/8: expected i/n"):
        command(shard="9/8")


@pytest.fixture(scope="module")
def models(store, tmp_path_factory):
    """A VQGAN, its codes and transformers of random weights."""
    root = tmp_path_factory.mktemp("models")
    for name in ("vqgan", "codes", "transformer/top", "transformer/bottom"):
        (root / name).mkdir(parents=True)
    save_vqgan(root / "vqgan", TOYS.toy_vqgan())
    vqgan, digest = load_vqgan(root / "vqgan")
    TOYS.tokenized(store, vqgan, root / "codes", vqgan_hash=digest)
    for level in ("top", "bottom"):
        trained = TrainedTransformer(
            model=TOYS.toy_transformer(layout_of(level, TOYS.GRIDS), layers=1),
            conditioning=TOYS.CONDITIONING,
            vqgan_hash=digest,
        )
        save_transformer(root / "transformer" / level, trained)
    return root


@pytest.fixture
def sample_command(store, models, tmp_path, root, monkeypatch):
    """Runs `cvg sample`, five clips in three parts."""
    monkeypatch.setenv("CVG_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr("cvg.sampling.sample.VIDEOS_AT_ONCE", 2)
    monkeypatch.chdir(root)

    def run(*, shard=None, out="out", seed=0):
        sample(
            frames=store.folder,
            codes=models / "codes",
            vqgan=models / "vqgan",
            transformer=models / "transformer",
            critic=models / "none",
            out=tmp_path / out,
            params_path=root / "params.yaml",
            overrides=[
                "sample.clips=5",
                "sample.frames=7",
                "sample.context_frames=2",
                f"seed={seed}",
            ],
            shard=shard,
        )

    return run


def test_shares_of_samples_give_the_bytes_of_one_run(sample_command, tmp_path):
    sample_command(out="whole")
    sample_command(shard="3/3")
    sample_command(shard="1/3", seed=1)
    sample_command(shard="1/3")
    assert not (tmp_path / "out").exists()
    sample_command(shard="2/3")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_videos_of_ones_own_have_no_shares(models, tmp_path, root, monkeypatch):
    monkeypatch.chdir(root)
    with pytest.raises(UserError, match="--shard, --launcher and --workers are for the held-out"):
        sample(
            vqgan=models / "vqgan",
            transformer=models / "transformer",
            critic=models / "none",
            out=tmp_path / "out",
            params_path=root / "params.yaml",
            count=1,
            shard="1/2",
        )


@pytest.mark.slow
@pytest.mark.ci
def test_the_example_of_a_job_array_runs(store, models, tmp_path, root):
    whole = [sys.executable, "-m", "pipeline"]
    words = ["tokenize", "--frames", store.folder, "--vqgan", models / "vqgan"]
    words += ["--set", "tokenize.batch_size=4", "--out"]
    environment = os.environ | {
        "CVG_PYTHON": sys.executable,
        "CVG_STATE_DIR": str(tmp_path / "state"),
        "SLURM_ARRAY_TASK_COUNT": "3",
        "SLURM_CPUS_PER_TASK": "1",
    }
    subprocess.run([*whole, *words, tmp_path / "whole"], cwd=root, env=environment, check=True)
    processes = [
        subprocess.Popen(
            ["sh", "docs/slurm/array.sh", *words, tmp_path / "out"],
            cwd=root,
            env=environment | {"SLURM_ARRAY_TASK_ID": number},
        )
        for number in "231"
    ]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
