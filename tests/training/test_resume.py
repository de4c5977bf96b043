"""An interrupted run that goes on ends as if nothing had happened, to the bit."""

import os
import signal
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from cvg.config import TrainingParams
from cvg.interrupts import Interrupted, interruptible
from cvg.training.checkpoint import Checkpoints, pack
from cvg.training.loop import Job, StepResult, Surroundings, train
from cvg.training.runtime import Runtime

PARAMS = TrainingParams(
    steps=12,
    batch_size=1,
    accumulate=2,
    max_minutes=None,
    patience=None,
    lr_scale=1.0,
    muon_scale=2.5,
    warmup_steps=2,
    weight_decay=0.1,
    grad_clip=0.5,
    ema_decay=0.9,
    validate_every=3,
)
BAD = (4, 1)  # step and part whose loss is not finite


class Model(nn.Module):
    """Draws from the global generator, and keeps a buffer of its own."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.3), nn.Linear(8, 2))
        self.register_buffer("seen", torch.zeros(3))
        self.register_buffer("calls", torch.tensor(0))

    def forward(self, batch):
        if self.training:
            self.seen.lerp_(batch.mean(0), 0.1)
            self.calls += 1
        return self.layers(batch + self.seen)


class Adversary(nn.Module):
    """Trains on the side with an optimizer of its own, and changes the loss."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)
        self.optimizer = torch.optim.AdamW(self.layer.parameters(), lr=0.05)
        self.average = 0.0

    def judge(self, outputs):
        loss = (self.layer(outputs.detach()) - 1).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.average = 0.9 * self.average + 0.1 * loss.item()
        return self.layer(outputs).mean() + self.average

    def state_dict(self):
        own = {"average": self.average, "optimizer": self.optimizer.state_dict()}
        return own | {"layer": self.layer.state_dict()}

    def load_state_dict(self, state):
        self.average = state["average"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.layer.load_state_dict(state["layer"])


class Crash(Exception):
    pass


def outcome(folder, *, crash_at=None, signal_at=None, validation_crash=None, params=PARAMS):
    """Run the toy job once; give all that a run leaves, or raise Crash at a step.

    A signal that asks for the end comes in the middle of a step.
    """
    torch.set_rng_state(torch.Generator().manual_seed(1).get_state())
    model, adversary, logged = Model(), Adversary(), []

    def train_step(step, part):
        if (step, part) == crash_at:
            raise Crash
        if (step, part) == signal_at:
            os.kill(os.getpid(), signal.SIGTERM)
        rng = torch.Generator().manual_seed(100 * step + part)
        outputs = model(torch.randn(4, 3, generator=rng))
        loss = outputs.square().mean() + 0.1 * adversary.judge(outputs)
        figures = {"late": loss.detach()} if step > 4 else {}
        if (step, part) == BAD:
            loss = loss * float("nan")
        return StepResult(loss=loss, figures=figures)

    def validate(averaged):
        if model.calls == validation_crash:
            raise Crash
        torch.rand(1)  # what a validation draws is no matter either
        return {"score": averaged(torch.ones(1, 3)).square().mean().item()}

    job = Job(
        label="toy",
        model=model,
        train_step=train_step,
        validate=validate,
        objective="score",
        matrices=lambda: [model.layers[2].weight],
        stateful={"adversary": adversary},
    )
    around = Surroundings(
        learning_rate=0.05,
        seed=0,
        runtime=Runtime(device=torch.device("cpu")),
        log=lambda row, step: logged.append((step, dict(row))),
        checkpoints=Checkpoints(folder) if folder else None,
    )
    with interruptible():
        trained = train(job, params, around)
    return (
        {name: tensor.tolist() for name, tensor in model.state_dict().items()},
        {name: tensor.tolist() for name, tensor in pack(adversary.state_dict()).items()},
        replace(trained, seconds=0.0, resumed_from=0),
        logged,
        torch.rand(3).tolist(),  # where the global generator stands
    ), trained.resumed_from


@pytest.fixture(scope="module")
def whole():
    return outcome(None)[0]


CRASHES = [(step, part) for step in range(12) for part in (0, 1)]


@pytest.mark.parametrize("crash_at", CRASHES, ids=str)
def test_a_crash_at_any_step_changes_nothing(crash_at, whole, tmp_path, capsys):
    with pytest.raises(Crash):
        outcome(tmp_path, crash_at=crash_at)
    found, resumed_from = outcome(tmp_path)
    assert resumed_from == crash_at[0] // 3 * 3
    assert found == whole
    message = f"toy: goes on from step {resumed_from} of 12 (an earlier run was interrupted)"
    assert (message in capsys.readouterr().err) == (resumed_from > 0)


@pytest.mark.parametrize("signal_at", CRASHES, ids=str)
def test_a_signal_at_any_step_costs_no_step_and_changes_nothing(signal_at, whole, tmp_path, capsys):
    with pytest.raises(Interrupted):
        outcome(tmp_path, signal_at=signal_at)
    found, resumed_from = outcome(tmp_path)
    assert resumed_from == signal_at[0] + 1
    assert found == whole
    message = f"toy: stopped after step {resumed_from} of 12; the same command goes on from there"
    assert message in capsys.readouterr().err


def test_a_signal_without_a_place_for_the_state_is_told_so(capsys):
    with pytest.raises(Interrupted):
        outcome(None, signal_at=(1, 0))
    assert "the same command begins anew" in capsys.readouterr().err


def test_crashes_one_after_the_other_change_nothing(whole, tmp_path):
    for step in (2, 4, 7, 8, 11):
        with pytest.raises(Crash):
            outcome(tmp_path, crash_at=(step, 1))
    assert outcome(tmp_path)[0] == whole


def test_a_crash_within_a_validation_changes_nothing(whole, tmp_path):
    with pytest.raises(Crash):
        outcome(tmp_path, validation_crash=18)  # of step 9, with two parts a step
    found, resumed_from = outcome(tmp_path)
    assert (found, resumed_from) == (whole, 6)


def test_a_run_that_was_over_is_not_trained_again(whole, tmp_path):
    outcome(tmp_path)
    found, resumed_from = outcome(tmp_path, crash_at=(11, 0))  # no step is done
    assert (found, resumed_from) == (whole, 12)


def test_a_damaged_checkpoint_costs_steps_but_changes_nothing(whole, tmp_path, capsys):
    with pytest.raises(Crash):
        outcome(tmp_path, crash_at=(10, 0))
    newest = Checkpoints(tmp_path).newest()
    newest.write_bytes(newest.read_bytes()[:-9])
    found, resumed_from = outcome(tmp_path)
    assert (found, resumed_from) == (whole, 6)
    assert "is damaged" in capsys.readouterr().err


def test_patience_is_the_same_after_a_crash(tmp_path):
    params = PARAMS.model_copy(update={"patience": 2, "validate_every": 1, "steps": 40})
    expected = outcome(None, params=params)[0]
    assert expected[2].stopped_by == "patience"
    with pytest.raises(Crash):
        outcome(tmp_path, params=params, crash_at=(expected[2].steps - 1, 1))
    assert outcome(tmp_path, params=params)[0] == expected


def test_a_checkpoint_that_cannot_be_written_is_told_and_costs_nothing_else(
    whole, tmp_path, capsys
):
    (tmp_path / "file").touch()
    found, _ = outcome(tmp_path / "file")
    assert found == whole
    assert "toy: the checkpoint after step 3 cannot be written" in capsys.readouterr().err


def test_a_state_that_is_not_finite_is_not_kept(tmp_path, capsys, monkeypatch):
    spoilt = lambda self: {"average": torch.tensor(float("nan"))}  # noqa: E731
    monkeypatch.setattr(Adversary, "state_dict", spoilt)
    with pytest.raises(Crash):
        outcome(tmp_path, crash_at=(8, 0))
    assert Checkpoints(tmp_path).latest() is None
    assert "after step 3 are not finite; no checkpoint is written" in capsys.readouterr().err


def test_a_checkpoint_is_one_safetensors_file(tmp_path):
    outcome(tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"] * 2
    assert load_file(Checkpoints(tmp_path).newest())
