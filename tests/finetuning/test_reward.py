"""The likelihood-ratio loss: by hand, and which way it pulls."""

import copy
import math

import pytest
import torch

from cvg.finetuning.reward import log_ratio, reward_loss


@pytest.fixture(params=["top", "bottom"])
def model(request, models):
    return models.transformers[request.param].model


@pytest.fixture
def clips(toys, model):
    draws = [
        torch.randint(grid.codebook_size, (3, 4, grid.num_codes), generator=toys.rng())
        for grid in model.layout.grids
    ]
    told = toys.CONDITIONING.gather(toys.toy_conditions(4), frames=4)
    return torch.cat(draws, dim=-1), told


def test_a_model_is_as_likely_as_itself(model, clips):
    assert log_ratio(model, copy.deepcopy(model), *clips).tolist() == [0, 0, 0]


def test_the_ratio_is_the_difference_of_log_likelihoods_after_the_first_frame(toys, model, clips):
    other = copy.deepcopy(model)
    toys.randomise(other, 9)
    codes, told = clips
    found = log_ratio(other, model, codes, told)
    for row in range(3):
        total = 0.0
        for one, sign in ((other, 1), (model, -1)):
            logs = one(codes, told).log_softmax(-1)[row, 1:]
            true = codes[row, 1:, one.layout.num_given :]
            total += sign * logs.gather(-1, true[..., None]).sum().item()
        assert found[row].item() == pytest.approx(total, rel=1e-4)


def test_the_loss_by_hand():
    real, own = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 0.5])
    chances = [1 / (1 + math.exp(-0.1 * ratio)) for ratio in (2.0, -1.0)]
    wrong = 1 / (1 + math.exp(-0.1 * 0.5))
    expected = 0.5 * (-sum(math.log(p) for p in chances) / 2 - math.log(1 - wrong))
    assert reward_loss(real, own, sharpness=0.1).item() == pytest.approx(expected)


def test_a_step_makes_real_clips_likelier_against_own_ones(toys, model, clips):
    tuned = copy.deepcopy(model).requires_grad_(True)
    codes, told = clips
    own = (codes + 1) % toys.CODEBOOK
    optimizer = torch.optim.SGD(tuned.parameters(), lr=1e-4)
    ratios = [log_ratio(tuned, model, one, told) for one in (codes, own)]
    loss = reward_loss(*ratios, sharpness=1.0)
    assert loss.item() == pytest.approx(math.log(2))
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        real_gain, own_gain = (log_ratio(tuned, model, one, told) for one in (codes, own))
    assert real_gain.mean() > own_gain.mean()
    assert reward_loss(real_gain, own_gain, sharpness=1.0) < loss
