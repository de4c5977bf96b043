"""Guidance at its end points and beyond."""

import torch

from cvg.sampling.guidance import guide

CONDITIONAL = torch.tensor([[1.0, -2.0, 0.5]])
UNCONDITIONAL = torch.tensor([[0.0, 1.0, 0.5]])


def test_zero_ignores_the_condition_and_one_is_the_condition():
    assert torch.equal(guide(CONDITIONAL, UNCONDITIONAL, 0.0), UNCONDITIONAL)
    assert torch.equal(guide(CONDITIONAL, UNCONDITIONAL, 1.0), CONDITIONAL)


def test_above_one_goes_on_in_the_same_direction():
    assert guide(CONDITIONAL, UNCONDITIONAL, 3.0).tolist() == [[3.0, -8.0, 0.5]]


def test_where_the_condition_says_nothing_guidance_does_nothing():
    torch.testing.assert_close(guide(CONDITIONAL, CONDITIONAL, 7.0), CONDITIONAL)
