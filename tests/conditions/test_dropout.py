"""Taking conditions away: each kind by itself, all at once, and nothing else."""

import pytest
import torch

from cvg.conditions.condition import KINDS, Condition
from cvg.conditions.dropout import drop_at_random, without


@pytest.fixture
def everything(toys):
    return toys.toy_conditions()[0]


def gather(toys, conditions):
    return toys.CONDITIONING.gather(conditions, frames=7)


def alike(one, other):
    return (
        torch.equal(one.prefix, other.prefix)
        and torch.equal(one.actions.nan_to_num(9), other.actions.nan_to_num(9))
        and torch.equal(one.maps.nan_to_num(9), other.maps.nan_to_num(9))
    )


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_kind_is_as_if_it_had_never_been_told(toys, everything, kind):
    lacking = Condition(**vars(everything) | {kind: None})
    found = without(gather(toys, [everything]), [kind])
    assert alike(found, gather(toys, [lacking]))
    assert not alike(found, gather(toys, [everything]))


def test_without_all_kinds_it_is_the_null_condition(toys, everything):
    found = without(gather(toys, [everything]), KINDS)
    assert alike(found, gather(toys, [Condition()]))


def lost_shares(toys, everything, shares, *, null, count=2000, seed=0):
    told = gather(toys, [everything] * count)
    rng = torch.Generator().manual_seed(seed)
    found = drop_at_random(told, shares, everything=null, rng=rng)
    changed = found.prefix != told.prefix
    return torch.stack(
        [
            changed[:, 3],
            changed[:, 0],
            changed[:, 1],
            changed[:, 2],
            found.actions.isnan().all((1, 2)),
            found.maps.isnan().all((1, 2, 3)),
        ]
    )


def test_kinds_are_lost_in_the_shares_that_are_asked_and_independently(toys, everything):
    shares = dict(zip(KINDS, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), strict=True))
    lost = lost_shares(toys, everything, shares, null=0.0).double()
    for row, share in zip(lost, shares.values(), strict=True):
        assert abs(row.mean().item() - share) <= 4 * (share * (1 - share) / 2000) ** 0.5
    both = (lost[2] * lost[3]).mean().item()
    assert both == pytest.approx(0.4 * 0.6, abs=0.05)


def test_some_videos_lose_everything(toys, everything):
    lost = lost_shares(toys, everything, dict.fromkeys(KINDS, 0.0), null=0.3)
    assert (lost.all(0) == lost.any(0)).all()
    assert lost.all(0).double().mean().item() == pytest.approx(0.3, abs=0.04)


def test_the_same_seed_drops_the_same(toys, everything):
    shares = dict.fromkeys(KINDS, 0.5)
    first, again, other = (
        lost_shares(toys, everything, shares, null=0.1, count=50, seed=s) for s in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
