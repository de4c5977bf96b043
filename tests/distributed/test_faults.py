"""A stage on two ranks of which one ends, hangs or is told to stop; and what goes on after it."""

import json
import os
import runpy
import signal
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

pytestmark = pytest.mark.slow

TOYS = runpy.run_path(str(Path(__file__).parents[1] / "toys.py"))
CHECKPOINTS = "state/.runs/*/*/checkpoints/step-*"
STEPS = 200
SMALL = {
    "width": 16,
    "heads": 2,
    "layers": 1,
    "clip_frames": 3,
    "batch_size": 2,
    "warmup_steps": 2,
    "validate_every": 10,
    "steps": STEPS,
    "lr_scale": 0.03,  # the last weights are the best; others may be from before a fault
    "dropout": 0.0,  # masks differ from rank to rank
    "grad_clip": 1000.0,  # the norm of parts is that of the whole but for its last bit
}


class Training:
    """The stage at toy size, in a folder of its own."""

    def __init__(self, start, folder):
        self.folder, self._start = folder, start
        TOYS["write_codes"](folder / "codes")

    def start(self, *, ranks=2, strategy="ddp", seconds="60", restarts=0, **changes):
        words = ["-m", "pipeline", "train-transformer", "--level", "top"]
        words += ["--codes", self.folder / "codes", "--out", self.folder / "out"]
        words += ["--plot", self.folder / "plot.csv"]
        for key, value in (SMALL | changes).items():
            words += ["--set", f"transformer.top.{key}={value}"]
        return self._start(
            *words,
            ranks=ranks,
            restarts=restarts,
            CVG_STRATEGY=strategy,
            CVG_COLLECTIVE_SECONDS=seconds,
            CVG_STATE_DIR=str(self.folder / "state"),
            # Or torchrun gives ranks that it starts anew the addresses of those before.
            TORCH_DISABLE_SHARE_RDZV_TCP_STORE="1",
        )

    def started_until_a_checkpoint(self, **others):
        before = set(self.folder.glob(CHECKPOINTS))
        started = self.start(**others)
        until = time.monotonic() + 90
        while not set(self.folder.glob(CHECKPOINTS)) - before:
            assert time.monotonic() < until
            assert started.process.poll() is None, started.finish()[1]
            time.sleep(0.005)
        return started

    def finish(self, **others):
        status, out = self.start(**others).finish()
        assert status == 0, out
        assert not list(self.folder.glob("state/.runs/*/*"))  # success leaves nothing
        return out

    @property
    def bytes(self):
        return (self.folder / "out/weights.safetensors").read_bytes()


@pytest.fixture
def training(start, tmp_path):
    return Training(start, tmp_path)


@pytest.fixture(scope="session")
def whole(start, tmp_path_factory):
    """The weights of two ranks that nothing happened to."""
    training = Training(start, tmp_path_factory.mktemp("whole"))
    out = training.finish()
    assert out.count("train_transformer_top: wrote") == 1
    figures = json.loads((training.folder / "out/figures.json").read_text())
    assert figures["best_step"] == STEPS
    return training


@pytest.mark.parametrize(
    ("before", "after"),
    [pytest.param("ddp", "fsdp2", marks=pytest.mark.ci), ("fsdp2", "ddp")],
)
def test_a_rank_is_killed_and_the_run_goes_on_the_other_way(training, whole, before, after):
    started = training.started_until_a_checkpoint(strategy=before)
    os.kill(started.ranks()[1], signal.SIGKILL)
    status, out = started.finish()
    assert status != 0
    assert "rank 0: error: another of the 2 ranks has ended, or did not answer" in out
    assert "the same command goes on from the last checkpoint" in out
    assert not (training.folder / "out").exists()

    out = training.finish(strategy=after)
    assert "train-transformer top: goes on from step" in out
    assert training.bytes == whole.bytes


@pytest.mark.parametrize("victim", [0, 1])
def test_torchrun_starts_all_ranks_anew_and_they_go_on(training, whole, victim):
    started = training.started_until_a_checkpoint(restarts=1)
    os.kill(started.ranks()[victim], signal.SIGKILL)
    status, out = started.finish()
    assert status == 0, out
    assert "train-transformer top: goes on from step" in out
    assert training.bytes == whole.bytes


@pytest.mark.ci
def test_a_signal_to_one_rank_ends_all_after_the_same_step(training, whole):
    started = training.started_until_a_checkpoint()
    os.kill(started.ranks()[1], signal.SIGUSR1)
    status, out = started.finish()
    assert status != 0
    assert out.count("train-transformer top: stopped after step") == 1
    assert out.count("stopped by SIGUSR1") == 1
    assert "error: another of the" not in out
    training.finish()
    assert training.bytes == whole.bytes
    plots = [(one.folder / "plot.csv").read_bytes() for one in (training, whole)]
    assert plots[0] == plots[1]


@pytest.mark.ci
def test_a_rank_hangs_and_one_process_then_two_go_on(training, whole):
    started = training.started_until_a_checkpoint(seconds="5")
    first, second = started.ranks()[0], started.ranks()[1]
    os.kill(second, signal.SIGSTOP)
    until = time.monotonic() + 60
    while Path(f"/proc/{first}/cmdline").exists() and Path(f"/proc/{first}/cmdline").read_text():
        assert time.monotonic() < until
        time.sleep(0.1)
    os.kill(second, signal.SIGKILL)  # torchrun would do so after half a minute
    status, out = started.finish()
    assert status != 0
    assert "did not answer within 5 s (CVG_COLLECTIVE_SECONDS)" in out

    alone = training.started_until_a_checkpoint(ranks=1)
    alone.process.send_signal(signal.SIGTERM)
    status, out = alone.finish()
    assert status == 128 + signal.SIGTERM
    assert "goes on from step" in out

    assert "goes on from step" in training.finish()
    path = "out/weights.safetensors"
    ours, theirs = (load_file(one.folder / path) for one in (training, whole))
    assert training.bytes != whole.bytes  # One process was at work in between.
    for name, tensor in theirs.items():
        assert (ours[name] - tensor).abs().max() < 1e-5, name


@pytest.mark.ci
def test_what_ranks_cannot_do_is_refused(training, start):
    status, out = training.start(batch_size=3).finish()
    assert status != 0
    assert "found 3, which is the batch of all 2 ranks; expected a multiple of 2" in out
    status, out = start("-m", "pipeline", "extract").finish()
    assert status != 0
    assert "extract: does not run on several processes together" in out
