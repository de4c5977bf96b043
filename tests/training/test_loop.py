"""The one training loop, on jobs that can be followed by hand."""

import math
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from cvg.config import TrainingParams
from cvg.errors import UserError
from cvg.training.bad_batches import MOST_IN_A_ROW, MOST_IN_ALL
from cvg.training.checkpoint import Checkpoints
from cvg.training.finite import NonFiniteError
from cvg.training.loop import Job, StepResult, Surroundings, train
from cvg.training.runtime import Runtime
from cvg.training.schedule import learning_rate_factor

PARAMS = TrainingParams(
    steps=8,
    batch_size=1,
    accumulate=1,
    max_minutes=None,
    patience=None,
    lr_scale=1.0,
    muon_scale=None,
    warmup_steps=2,
    weight_decay=0.0,
    grad_clip=1e9,
    ema_decay=0.0,
    validate_every=2,
)


RUNTIME = Runtime(device=torch.device("cpu"))


def around(**changes):
    given = Surroundings(learning_rate=0.1, seed=0, runtime=RUNTIME, log=lambda row, step: None)
    return replace(given, **changes)


def changed(**changes):
    return PARAMS.model_copy(update=changes)


def make_job(*, objectives=None, loss=None, **others):
    """A job whose model counts its steps; validation gives the listed objectives in turn."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    model.register_buffer("steps", torch.tensor(0))
    values = iter(objectives or [1.0] * 100)

    def train_step(step, part):
        assert model.training
        model.steps.fill_(step + 1)
        value = model.weight.sum() if loss is None else loss(model, step)
        return StepResult(loss=value, figures={"twice": 2 * value.detach()})

    def validate(averaged):
        assert averaged is not model
        assert not averaged.training
        return {"score": next(values), "weight": averaged.weight.item()}

    return Job(
        label="toy",
        model=model,
        train_step=train_step,
        validate=validate,
        objective="score",
        **others,
    )


@pytest.mark.parametrize(
    ("objectives", "best"),
    [
        ([4.0, 3.0, 2.0, 1.0], 8),
        ([1.0, 2.0, 3.0, 4.0], 2),
        ([3.0, 1.0, 2.0, 1.0], 4),  # the first of equals
        ([3.0, math.nan, 2.0, 2.5], 6),
        ([math.nan, math.inf, -math.inf, 2.5], 8),  # none but the last is finite
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
    trained = train(make_job(), changed(steps=7), around())
    validated = [row["step"] for row in trained.history.rows if "held_out_score" in row]
    assert validated == [2, 4, 6, 7]


def test_what_is_kept_is_the_average_and_not_the_last_weights():
    seen = {}
    params = changed(ema_decay=0.9, steps=3, validate_every=3)
    job = make_job()

    def train_step(step, part):
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
    params = changed(grad_clip=1e-8, steps=1, validate_every=1)
    job = make_job(loss=steep)
    row = train(job, params, around()).history.rows[0]
    assert row["gradient_norm"] == pytest.approx(100.0)
    rate = 0.1 * 0.5  # in the middle of the warm-up
    assert job.model.weight.item() == pytest.approx(1 - rate * 0.5, abs=1e-4)


def nan_at(*steps):
    """A loss that is not finite at some steps."""
    return lambda model, step: model.weight.sum() * (math.nan if step in steps else 1.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_bad_batch_is_left_out_and_told(bad, capsys):
    def loss(model, step):
        return model.weight.sum() * (bad if step == 3 else 1.0)

    job = make_job(loss=loss)
    trained = train(job, changed(validate_every=1), around())
    weights = [row["held_out_weight"] for row in trained.history.rows]
    assert weights[3] == weights[2]
    assert len(set(weights)) == 7
    skipped = {row["step"]: row.get("skipped_batches") for row in trained.history.rows}
    assert skipped == {step: 1 if step == 4 else None for step in range(1, 9)}
    assert trained.steps == 8
    told = capsys.readouterr().err
    assert re.search(r"WARNING: toy: the batch of step 4 is not used: .*\(loss (nan|inf)", told)
    assert "twice" in told
    assert "1 such so far" in told


def test_the_average_does_not_move_with_a_batch_that_is_left_out():
    params = changed(ema_decay=0.9, validate_every=1)
    rows = train(make_job(loss=nan_at(4)), params, around()).history.rows
    weights = [row["held_out_weight"] for row in rows]
    assert weights[4] == weights[3] != weights[5]


def test_a_step_may_itself_say_that_a_number_is_not_finite(capsys):
    def loss(model, step):
        if step == 2:
            raise NonFiniteError("the latents are not finite")
        return model.weight.sum()

    trained = train(make_job(loss=loss), PARAMS, around())
    assert trained.steps == 8
    assert "step 3 is not used: the latents are not finite;" in capsys.readouterr().err


def test_a_gradient_that_is_not_finite_is_found_even_with_a_finite_loss(capsys):
    def loss(model, step):
        shift = model.weight.sum() - model.weight.detach().sum()
        return shift.abs().sqrt() if step == 0 else model.weight.sum()

    job = make_job(loss=loss)
    train(job, PARAMS, around())
    assert "step 1 is not used: the norm of the gradient is nan;" in capsys.readouterr().err
    assert torch.isfinite(job.model.weight).all()


def test_a_bad_part_spoils_its_whole_step(capsys):
    job = make_job()

    def train_step(step, part):
        bad = (step, part) == (2, 1)
        return StepResult(loss=job.model.weight.sum() * (math.nan if bad else 1), figures={})

    params = changed(accumulate=3, validate_every=1)
    rows = train(replace(job, train_step=train_step), params, around()).history.rows
    weights = [row["held_out_weight"] for row in rows]
    assert weights[2] == weights[1] != weights[3]
    assert rows[3]["gradient_norm"] == pytest.approx(1.0)  # nothing is left of the bad step's
    assert "step 3 is not used" in capsys.readouterr().err


def test_bad_batches_in_a_row_stop_the_run():
    job = make_job(loss=nan_at(1, 3, 4, 5))
    with pytest.raises(UserError, match=r"toy: the loss is not finite \(loss nan.* at step 6") as e:
        train(job, PARAMS, around())
    assert f"after {MOST_IN_A_ROW} bad batches in a row and 4 in all" in str(e.value)
    assert "Lower lr in params.yaml (which begins anew) or check the data" in str(e.value)
    assert "The stage wrote nothing; `dvc checkout`" in str(e.value)
    assert "checkpoint" not in str(e.value)
    assert torch.isfinite(job.model.weight).all()


def test_many_bad_batches_apart_stop_the_run_too():
    job = make_job(loss=nan_at(*range(0, 100, 2)))
    with pytest.raises(UserError, match=f"at step {2 * MOST_IN_ALL - 1}, .* {MOST_IN_ALL} in all"):
        train(job, changed(steps=100), around())


def test_the_message_names_the_last_good_checkpoint(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(UserError) as error:
        train(make_job(loss=nan_at(5, 6, 7)), PARAMS, around(checkpoints=checkpoints))
    found = checkpoints.latest()
    assert found is not None
    assert found[0] == 6  # of the validation after a bad step, with the weights before it
    assert str(checkpoints.newest()) in str(error.value)


def test_weights_that_cannot_be_judged_are_told_and_never_kept(capsys):
    job = make_job()

    def validate(averaged):
        if averaged.steps == 4:
            raise NonFiniteError("level top: 3 of 8 numbers in the latents are not finite")
        return {"score": float(averaged.steps)}

    trained = train(replace(job, validate=validate), PARAMS, around())
    assert trained.best_step == 2
    assert math.isnan(trained.history.rows[1]["held_out_score"])
    message = "WARNING: toy: the weights after step 4 are of no use: level top: 3 of 8"
    assert message in capsys.readouterr().err


def test_no_finite_validation_at_all_is_an_error():
    job = make_job(objectives=[math.nan, math.inf, -math.inf, math.nan])
    with pytest.raises(UserError, match="toy: no validation gave a finite score"):
        train(job, PARAMS, around())


def test_parts_add_up_to_the_gradient_of_the_whole_batch():
    data = torch.tensor([1.0, 2.0, 3.0, 6.0])

    def whole(model):
        return lambda step, part: StepResult(
            loss=(model.weight.sum() - data).square().mean(),
            figures={"mean": data.mean()},
        )

    def halves(model):
        return lambda step, part: StepResult(
            loss=(model.weight.sum() - data[2 * part : 2 * part + 2]).square().mean(),
            figures={"mean": data[2 * part : 2 * part + 2].mean()},
        )

    rows = []
    for parts, steps in ((1, whole), (2, halves)):
        job = make_job()
        job = replace(job, train_step=steps(job.model))
        rows.append(train(job, changed(accumulate=parts), around()).history.rows)
    for one, two in zip(*rows, strict=True):
        assert two == pytest.approx(one, rel=1e-5)


@pytest.mark.parametrize(("patience", "steps"), [(1, 6), (2, 8), (3, 16), (None, 20)])
def test_patience_counts_validations_without_a_better_one(patience, steps):
    job = make_job(objectives=[3.0, 2.0, 2.0, math.nan, 1.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    trained = train(job, changed(steps=20, patience=patience), around())
    assert trained.steps == steps
    assert trained.stopped_by == ("steps" if patience is None else "patience")
    assert trained.history.rows[-1]["step"] == steps


def test_looks_are_validated_besides_the_period():
    trained = train(make_job(looks=(3, 4)), PARAMS, around())
    validated = [row["step"] for row in trained.history.rows if "held_out_score" in row]
    assert validated == [2, 3, 4, 6, 8]


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is told to go on."""
    clock = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr("cvg.training.loop.time.monotonic", lambda: clock.seconds)
    return clock


def slow_job(clock, seconds, **others):
    """A job whose every step takes some time."""

    def loss(model, step):
        clock.seconds += seconds
        return model.weight.sum()

    return make_job(loss=loss, **others)


def test_the_weights_as_they_came_may_be_the_best():
    job = make_job(looks=(0,), objectives=[0.5, 1.0, 1.0, 1.0, 1.0])
    trained = train(job, PARAMS, around())
    assert trained.best_step == 0
    assert job.model.weight.item() == 1.0  # as it was made
    assert [row["step"] for row in trained.history.rows] == [0, 2, 4, 6, 8]


def test_a_look_before_the_first_step_is_not_repeated_by_a_resumed_run(tmp_path):
    def stop(row, step):
        if step == 2:
            raise InterruptedError

    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(InterruptedError):
        train(make_job(looks=(0,)), PARAMS, around(checkpoints=checkpoints, log=stop))
    resumed = train(make_job(looks=(0,)), PARAMS, around(checkpoints=checkpoints))
    assert [row["step"] for row in resumed.history.rows] == [0, 2, 4, 6, 8]


def test_a_job_can_say_that_further_steps_are_of_no_use():
    asked = []

    def is_over():
        asked.append(None)
        return len(asked) > 3

    trained = train(make_job(is_over=is_over), PARAMS, around())
    assert trained.stopped_by == "job"
    assert trained.history.rows[-1]["step"] == trained.steps < PARAMS.steps  # it is validated there


def test_time_stops_a_run_which_is_validated_there(clock):
    trained = train(slow_job(clock, 7.0), changed(steps=100, max_minutes=0.5), around())
    assert (trained.steps, trained.stopped_by, trained.seconds) == (5, "time", 35.0)
    assert trained.history.rows[-1]["step"] == 5
    assert "held_out_score" in trained.history.rows[-1]


def test_the_learning_rate_comes_down_with_the_time_that_is_left(clock):
    params = changed(steps=1000, warmup_steps=2, max_minutes=1.0, validate_every=1)
    rows = train(slow_job(clock, 6.0), params, around()).history.rows
    rates = [row["learning_rate"] for row in rows]
    assert len(rates) == 10
    assert rates[:2] == pytest.approx([0.05, 0.1], rel=0.03)
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[5] == pytest.approx(0.05, abs=1e-3)  # half the time is over
    assert rates[-1] < 0.003


def test_steps_come_first_where_there_is_time_enough(clock):
    params = changed(max_minutes=60.0)
    trained = train(slow_job(clock, 1.0), params, around())
    assert (trained.steps, trained.stopped_by) == (8, "steps")
    plain = train(make_job(), PARAMS, around())
    rates = [[row["learning_rate"] for row in t.history.rows] for t in (trained, plain)]
    assert rates[0] == pytest.approx(rates[1], rel=1e-6)


def test_time_before_an_interruption_counts(clock, tmp_path):
    params = changed(steps=100, max_minutes=0.5)
    job = slow_job(clock, 7.0)

    def crash(step, part):
        if step == 3:
            raise KeyboardInterrupt
        return job.train_step(step, part)

    with pytest.raises(KeyboardInterrupt):
        train(replace(job, train_step=crash), params, around(checkpoints=Checkpoints(tmp_path)))
    clock.seconds += 1e6  # nobody was at work
    again = train(slow_job(clock, 7.0), params, around(checkpoints=Checkpoints(tmp_path)))
    assert (again.resumed_from, again.steps, again.seconds) == (2, 5, 35.0)


def test_the_model_is_compiled_where_the_machine_says_so(monkeypatch):
    compiled = []
    monkeypatch.setattr(nn.Module, "compile", lambda model: compiled.append(model))
    job = make_job()
    train(job, PARAMS, around())
    assert compiled == []
    train(job, PARAMS, around(runtime=replace(RUNTIME, compile=True)))
    assert compiled == [job.model]


def test_rows_come_now_and_then_and_with_every_validation():
    params = changed(steps=50, validate_every=25)
    rows = train(make_job(), params, around()).history.rows
    assert [row["step"] for row in rows] == [20, 25, 40, 50]
