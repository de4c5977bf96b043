"""The rows of a run: means, figures that come and go, and the file of them."""

import pytest
import torch

from cvg.training.history import History, Recorder, StepResult


def result(loss, **figures):
    tensors = {name: torch.tensor(value) for name, value in figures.items()}
    return StepResult(loss=torch.tensor(loss), figures=tensors)


def recorder_with_log():
    logged = []
    return Recorder(lambda row, step: logged.append((step, dict(row)))), logged


def test_rows_are_means_since_the_last_row():
    recorder, logged = recorder_with_log()
    for step, loss in enumerate([1.0, 3.0, 10.0]):
        recorder.add(
            [result(loss, late=8.0) if step == 1 else result(loss)], torch.tensor(0.5), 0.1
        )
        if step:
            recorder.write(step + 1)
    first = {"loss": 2.0, "gradient_norm": 0.5, "late": 8.0, "learning_rate": 0.1}
    second = {"loss": 10.0, "gradient_norm": 0.5, "learning_rate": 0.1}
    assert logged == [(2, first), (3, second)]
    assert recorder.history.rows == [{"step": 2} | first, {"step": 3} | second]


def test_parts_of_a_step_are_averaged():
    recorder, logged = recorder_with_log()
    recorder.add([result(1.0, x=4.0), result(3.0, x=8.0)], torch.tensor(0.5), 0.1)
    recorder.write(1)
    assert logged == [(1, {"loss": 2.0, "x": 6.0, "gradient_norm": 0.5, "learning_rate": 0.1})]


def test_a_row_without_a_usable_batch_says_only_that():
    recorder, logged = recorder_with_log()
    recorder.skip()
    recorder.skip()
    recorder.write(2, {"held_out_score": 1.0})
    recorder.add([result(1.0)], torch.tensor(0.5), 0.1)
    recorder.write(3)
    assert logged[0] == (2, {"skipped_batches": 2, "held_out_score": 1.0})
    assert "skipped_batches" not in logged[1][1]


def test_a_recorder_that_goes_on_tells_all_rows_and_keeps_its_sums():
    first, _ = recorder_with_log()
    first.add([result(1.0, x=2.0)], torch.tensor(0.5), 0.1)
    first.write(1, {"held_out_score": 3.0})
    first.add([result(2.0)], torch.tensor(0.5), 0.1)
    first.skip()
    second, logged = recorder_with_log()
    second.load_state_dict(first.state_dict())
    row = {"loss": 1.0, "x": 2.0, "gradient_norm": 0.5, "learning_rate": 0.1, "held_out_score": 3.0}
    assert logged == [(1, row)]
    for recorder in (first, second):
        recorder.add([result(4.0)], torch.tensor(0.5), 0.2)
        recorder.write(3)
    assert second.history.rows == first.history.rows
    assert second.history.rows[1]["loss"] == pytest.approx(3.0)
    assert second.history.rows[1]["skipped_batches"] == 1


def test_the_history_is_written_with_all_columns(tmp_path):
    history = History(rows=[{"step": 20, "loss": 1 / 3}, {"step": 1234567, "loss": 2.0, "x": 1e-7}])
    history.write_csv(tmp_path / "plots" / "history.csv")
    lines = (tmp_path / "plots" / "history.csv").read_text().splitlines()
    assert lines == ["step,loss,x", "20,0.333333,", "1234567,2,1e-07"]
