"""The area under the curve, by hand and against an independent implementation."""

import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_auroc

from cvg.critic.auc import area_under_curve


def test_extremes():
    low, high = np.array([0.0, 1.0]), np.array([2.0, 3.0])
    assert area_under_curve(high, low) == 1
    assert area_under_curve(low, high) == 0
    assert area_under_curve(low, low) == 0.5
    assert math.isnan(area_under_curve(low, np.array([])))
    assert math.isnan(area_under_curve(np.array([1.0, np.nan]), high))
    assert math.isnan(area_under_curve(low, np.array([np.nan])))


@pytest.mark.parametrize("seed", range(5))
def test_it_is_what_torchmetrics_says_ties_included(seed):
    draws = np.random.default_rng(seed)
    real, other = draws.integers(0, 9, 40).astype(float), draws.integers(0, 6, 30).astype(float)
    scores = torch.from_numpy(np.concatenate([real, other])) / 10
    target = torch.cat([torch.ones(40), torch.zeros(30)]).long()
    expected = binary_auroc(scores, target).item()
    assert area_under_curve(real, other) == pytest.approx(expected, abs=1e-6)
