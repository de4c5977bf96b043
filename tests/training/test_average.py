"""The moving average of weights."""

import pytest
import torch

from cvg.training.average import WeightAverage


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([1.0, -1.0], dtype=torch.float64))
        self.register_buffer("counter", torch.tensor(0))


def test_the_average_by_hand():
    model = Model()
    average = WeightAverage(model, decay=0.15)
    expected = 1.0
    for updates in range(4):
        model.weight.data[0] = 10.0 * updates
        average.update(model)
        decay = min(0.15, (1 + updates) / (10 + updates))  # 0.1, then 0.15
        expected = decay * expected + (1 - decay) * 10.0 * updates
    assert average.model.weight[0].item() == pytest.approx(expected, rel=1e-12)
    assert average.model.weight[1].item() == pytest.approx(-1.0)


def test_buffers_are_copied_not_mixed():
    model = Model()
    average = WeightAverage(model, decay=0.9)
    model.counter.fill_(7)
    average.update(model)
    assert average.model.counter == 7


def test_the_model_is_left_alone_and_the_average_takes_no_gradient():
    model = Model()
    average = WeightAverage(model, decay=0.9)
    average.update(model)
    average.model.weight.data.fill_(100)
    assert model.weight.tolist() == [1.0, -1.0]
    assert model.weight.requires_grad
    assert not average.model.weight.requires_grad
    assert not average.model.training


def test_a_long_average_forgets_its_start():
    model = Model()
    model.weight.data.fill_(1000.0)
    average = WeightAverage(model, decay=0.999)
    model.weight.data.fill_(0.0)
    for _ in range(30):
        average.update(model)
    assert average.model.weight.abs().max() < 1e-3


def test_an_average_that_goes_on_is_the_same():
    model = Model()
    first = WeightAverage(model, decay=0.15)
    model.weight.data.fill_(3.0)
    model.counter.fill_(2)
    first.update(model)
    second = WeightAverage(Model(), decay=0.15)
    second.load_state_dict(first.state_dict())
    model.weight.data.fill_(7.0)
    for average in (first, second):
        average.update(model)
    assert second.model.weight.tolist() == first.model.weight.tolist()
    assert second.model.counter == 2
