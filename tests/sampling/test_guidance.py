"""Guidance at its end points and beyond, and by kind."""

import pytest
import torch

from cvg.conditions.condition import KINDS
from cvg.conditions.dropout import without
from cvg.sampling.guidance import Guidance, guide

FULL = torch.tensor([[1.0, -2.0, 0.5]])
LACKING = torch.tensor([[0.0, 1.0, 0.5]])


def test_zero_ignores_the_condition_and_one_is_the_condition():
    assert torch.equal(guide(FULL, [LACKING], [0.0]), LACKING)
    assert torch.equal(guide(FULL, [LACKING], [1.0]), FULL)


def test_above_one_goes_on_in_the_same_direction():
    assert guide(FULL, [LACKING], [3.0]).tolist() == [[3.0, -8.0, 0.5]]


def test_where_the_condition_says_nothing_guidance_does_nothing():
    torch.testing.assert_close(guide(FULL, [FULL], [7.0]), FULL)


def test_each_kind_pushes_by_itself():
    other = torch.tensor([[0.0, -2.0, 0.5]])
    assert guide(FULL, [LACKING, other], [2.0, 3.0]).tolist() == [[4.0, -5.0, 0.5]]


def test_scales_of_one_cost_nothing(toys):
    guidance = Guidance(dict.fromkeys(KINDS, 1.0))
    told = toys.gathered(toys.toy_conditions(), 7)
    codes = torch.arange(6).reshape(3, 2)
    assert len(guidance.spread(told)) == 3
    assert torch.equal(guidance.repeat(codes), codes)
    assert torch.equal(guidance.join(FULL), FULL)


@pytest.mark.parametrize("kind", KINDS)
def test_the_variants_lack_the_guided_kinds_one_each(toys, kind):
    told = toys.gathered(toys.toy_conditions(), 7)
    other = "label" if kind != "label" else "caption"
    spread = Guidance({kind: 2.0, other: 0.5}).spread(told)
    assert len(spread) == 9
    order = [one for one in KINDS if one in (kind, other)]
    for number, lacking in enumerate([[], *([one] for one in order)]):
        part = slice(3 * number, 3 * number + 3)
        expected = without(told, lacking)
        assert torch.equal(spread.prefix[part], expected.prefix)
        assert torch.equal(spread.maps[part].isnan(), expected.maps.isnan())
        assert torch.equal(spread.actions[part].isnan(), expected.actions.isnan())


def test_what_is_ignored_is_not_told_whatever_else_is_guided(toys):
    told = toys.gathered(toys.toy_conditions(), 7)
    spread = Guidance({"caption": 0.0, "label": 0.0, "map": 3.0}).spread(told)
    assert len(spread) == 6
    ignored = ["caption", "label"]
    for part, lacking in ((slice(3), ignored), (slice(3, 6), [*ignored, "map"])):
        expected = without(told, lacking)
        assert torch.equal(spread.prefix[part], expected.prefix)
        assert torch.equal(spread.maps[part].isnan(), expected.maps.isnan())
