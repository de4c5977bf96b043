"""Dropping conditions."""

import pytest
import torch

from cvg.conditions.dropout import drop_conditions

NULL = torch.tensor([[3, 2, 0]])


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def conditions(count):
    return torch.arange(10, 10 + 3 * count).reshape(count, 3)


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_whole_rows_are_dropped_in_the_share_that_is_asked(share):
    before = conditions(2000)
    after = drop_conditions(before, NULL, share=share, rng=rng())
    dropped = (after == NULL).all(1)
    assert torch.equal(after[~dropped], before[~dropped])
    deviation = (share * (1 - share) / 2000) ** 0.5
    assert abs(dropped.double().mean().item() - share) <= 4 * deviation


def test_the_same_seed_drops_the_same_rows():
    rows = [drop_conditions(conditions(50), NULL, share=0.5, rng=rng(s)) for s in (1, 1, 2)]
    assert torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[0], rows[2])
