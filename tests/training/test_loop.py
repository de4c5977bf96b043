"""The one training loop, on jobs that can be followed by hand."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from cvg.config import TrainingParams
from cvg.errors import UserError
from cvg.training.loop import (
    History,
    Job,
    Recorder,
    StepResult,
    Surroundings,
    parameter_groups,
    train,
)
from cvg.training.schedule import learning_rate_factor

PARAMS = TrainingParams(
    steps=8,
    batch_size=1,
    lr_scale=1.0,
    warmup_steps=2,
    weight_decay=0.0,
    grad_clip=1e9,
    ema_decay=0.0,
    validate_every=2,
)


def around(log=lambda row, step: None, learning_rate=0.1):
    return Surroundings(learning_rate=learning_rate, seed=0, device=torch.device("cpu"), log=log)


def make_job(*, objectives=None, loss=None):
    """A job whose model counts its steps; validation gives the listed objectives in turn."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    model.register_buffer("steps", torch.tensor(0))
    values = iter(objectives or [1.0] * 100)

    def train_step(step):
        assert model.training
        model.steps.fill_(step + 1)
        value = model.weight.sum() if loss is None else loss(model, step)
        return StepResult(loss=value, figures={"twice": 2 * value.detach()})

    def validate(averaged):
        assert averaged is not model
        assert not averaged.training
        return {"score": next(values), "weight": averaged.weight.item()}

    return Job(
        label="toy", model=model, train_step=train_step, validate=validate, objective="score"
    )


@pytest.mark.parametrize(
    ("objectives", "best"),
    [
        ([4.0, 3.0, 2.0, 1.0], 8),
        ([1.0, 2.0, 3.0, 4.0], 2),
        ([3.0, 1.0, 2.0, 1.0], 4),  # the first of equals
        ([3.0, math.nan, 2.0, 2.5], 6),
    ],
)
def test_the_weights_of_the_best_validation_are_kept(objectives, best):
    job = make_job(objectives=objectives)
    trained = train(job, PARAMS, around())
    assert trained.best_step == best
    assert trained.best["score"] == objectives[best // 2 - 1]
    assert job.model.weight.item() == trained.best["weight"]
    assert job.model.steps == best
    assert not job.model.training


def test_the_last_step_is_validated_whatever_the_period():
    trained = train(make_job(), PARAMS.model_copy(update={"steps": 7}), around())
    validated = [row["step"] for row in trained.history.rows if "held_out_score" in row]
    assert validated == [2, 4, 6, 7]


def test_what_is_kept_is_the_average_and_not_the_last_weights():
    seen = {}
    params = PARAMS.model_copy(update={"ema_decay": 0.9, "steps": 3, "validate_every": 3})
    job = make_job()

    def train_step(step):
        seen[step] = job.model.weight.item()
        return StepResult(loss=job.model.weight.sum(), figures={})

    train(replace(job, train_step=train_step), params, around())
    # AdamW moves by the learning rate where the gradient is constant.
    rates = [0.1 * learning_rate_factor(s, warmup_steps=2, steps=3) for s in range(3)]
    average = weight = 1.0
    for step, rate in enumerate(rates):
        assert seen[step] == pytest.approx(weight, abs=1e-5)
        weight -= rate
        decay = (1 + step) / (10 + step)
        average = decay * average + (1 - decay) * weight
    assert job.model.weight.item() == pytest.approx(average, abs=1e-5)


def test_the_learning_rate_follows_the_schedule():
    rows = train(make_job(), PARAMS, around()).history.rows
    expected = [
        0.1 * learning_rate_factor(row["step"] - 1, warmup_steps=2, steps=8) for row in rows
    ]
    assert [row["learning_rate"] for row in rows] == pytest.approx(expected)


def test_gradients_are_clipped_and_their_norm_is_recorded_before():
    def steep(model, step):
        return 100.0 * model.weight.sum()

    # Adam divides by the size of gradients; a clip shows where it comes down to its epsilon.
    params = PARAMS.model_copy(update={"grad_clip": 1e-8, "steps": 1, "validate_every": 1})
    job = make_job(loss=steep)
    row = train(job, params, around()).history.rows[0]
    assert row["gradient_norm"] == pytest.approx(100.0)
    rate = 0.1 * 0.5  # in the middle of the warm-up
    assert job.model.weight.item() == pytest.approx(1 - rate * 0.5, abs=1e-4)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_run_with_step_and_label(bad):
    def loss(model, step):
        return model.weight.sum() * (bad if step == 3 else 1.0)

    job = make_job(loss=loss)
    with pytest.raises(UserError, match=r"toy: the loss or its gradient at step 3 .*twice"):
        train(job, PARAMS, around())
    assert torch.isfinite(job.model.weight).all()


def test_a_loss_that_is_not_finite_is_found_even_with_finite_gradients():
    def loss(model, step):
        return model.weight.sum() + (math.nan if step == 3 else 0.0)

    with pytest.raises(UserError, match="step 3 is not finite"):
        train(make_job(loss=loss), PARAMS, around())


def test_a_gradient_that_is_not_finite_is_found_even_with_a_finite_loss():
    def loss(model, step):
        return (model.weight.sum() - model.weight.detach().sum()).abs().sqrt()

    with pytest.raises(UserError, match="step 0 is not finite"):
        train(make_job(loss=loss), PARAMS, around())


def test_parameter_groups_hold_every_parameter_once():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.Linear(4, 4), nn.Embedding(5, 4)
    )
    model[2].bias.requires_grad_(False)
    decayed, others = parameter_groups(model, weight_decay=0.3)
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.3, 0.0)
    found = [id(parameter) for group in (decayed, others) for parameter in group["params"]]
    assert sorted(found) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    assert {id(p) for p in decayed["params"]} == {id(model[i].weight) for i in (0, 2, 3)}


def test_rows_are_means_since_the_last_row():
    logged = []
    recorder = Recorder(lambda row, step: logged.append((step, row)))
    for step, loss in enumerate([1.0, 3.0, 10.0]):
        figures = {"late": torch.tensor(8.0)} if step == 1 else {}
        result = StepResult(loss=torch.tensor(loss), figures=figures)
        recorder.add(result, torch.tensor(0.5), 0.1)
        if step:
            recorder.write(step + 1)
    (first_step, first), (second_step, second) = logged
    assert (first_step, second_step) == (2, 3)
    assert first == {"loss": 2.0, "gradient_norm": 0.5, "late": 8.0, "learning_rate": 0.1}
    assert second == {"loss": 10.0, "gradient_norm": 0.5, "learning_rate": 0.1}
    assert recorder.history.rows == [{"step": 2} | first, {"step": 3} | second]


def test_rows_come_now_and_then_and_with_every_validation():
    params = PARAMS.model_copy(update={"steps": 50, "validate_every": 25})
    rows = train(make_job(), params, around()).history.rows
    assert [row["step"] for row in rows] == [20, 25, 40, 50]


def test_the_history_is_written_with_all_columns(tmp_path):
    history = History(rows=[{"step": 20, "loss": 1 / 3}, {"step": 1234567, "loss": 2.0, "x": 1e-7}])
    history.write_csv(tmp_path / "plots" / "history.csv")
    lines = (tmp_path / "plots" / "history.csv").read_text().splitlines()
    assert lines == ["step,loss,x", "20,0.333333,", "1234567,2,1e-07"]
