"""R1 and LeCam, by hand."""

import pytest
import torch

from cvg.training.adversarial import HISTORY_DECAY, followed, lecam_penalty, r1_penalty


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_penalty_of_a_linear_judge_is_the_squared_length_of_its_weights():
    weights = torch.tensor([[1.0, -2.0], [0.5, 3.0]], requires_grad=True)
    frames = torch.randn(5, 1, 2, 2, generator=rng()).requires_grad_()
    result = (frames * weights).sum((2, 3), keepdim=True)
    penalty = r1_penalty(result, frames)
    assert penalty.item() == pytest.approx(1 + 4 + 0.25 + 9)
    (gradient,) = torch.autograd.grad(penalty, weights)
    assert torch.allclose(gradient, 2 * weights)


def test_the_penalty_sums_over_patches_and_over_the_frames_of_a_pair():
    frames = torch.randn(4, 1, 1, 2, generator=rng()).requires_grad_()
    pairs = frames.reshape(2, 2, 1, 2)
    result = 3 * pairs[:, :1] - 4 * pairs[:, 1:]  # a score for each pixel
    # Of each pair: two pixels with a gradient of 3, two with one of -4.
    assert r1_penalty(result, frames).item() == pytest.approx(2 * 9 + 2 * 16)


def test_lecam_by_hand():
    real, generated = torch.tensor([2.0, -3.0]), torch.tensor([0.5, 4.0])
    means = {"mean_real": torch.tensor(1.0), "mean_generated": torch.tensor(-1.0)}
    # real: 2 + 1, -3 + 1 is cut to 0; generated: 1 - 0.5, 1 - 4 is cut to 0
    penalty = lecam_penalty(real, generated, **means)
    assert penalty.item() == pytest.approx(9 / 2 + 0.25 / 2)


def test_lecam_pulls_the_two_kinds_towards_each_other():
    real = torch.tensor([2.0], requires_grad=True)
    generated = torch.tensor([-2.0], requires_grad=True)
    means = {"mean_real": torch.tensor(1.0), "mean_generated": torch.tensor(-1.0)}
    lecam_penalty(real, generated, **means).backward()
    assert real.grad.item() > 0
    assert generated.grad.item() < 0


def test_the_history_is_a_mean_of_all_scores_so_far_that_forgets():
    history = torch.zeros(3)
    first = followed(history, torch.full((2, 1, 1, 1), 3.0), torch.full((2, 1, 1, 1), -1.0))
    assert torch.allclose(first[:2] / first[2], torch.tensor([3.0, -1.0]))
    second = followed(first, torch.full((2, 1, 1, 1), 5.0), torch.full((2, 1, 1, 1), -1.0))
    expected = (3 * HISTORY_DECAY + 5) / (HISTORY_DECAY + 1)
    assert (second[0] / second[2]).item() == pytest.approx(expected)
