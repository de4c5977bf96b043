"""Temperature, top-k and top-p by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cvg.sampling.filters import keep_top_k, keep_top_p, temper

LOGITS = torch.tensor([[0.0, 2.0, 1.0, -1.0], [3.0, 3.5, -2.0, 0.0]])


def log(*rows):
    return torch.tensor(rows, dtype=torch.float64).log()


def kept(logits):
    return torch.isfinite(logits).int().tolist()


def test_cold_is_the_likeliest_code():
    cold = temper(LOGITS, 1e-3).softmax(-1)
    assert torch.equal(cold, torch.nn.functional.one_hot(LOGITS.argmax(-1), 4).float())


def test_hot_is_uniform():
    hot = temper(LOGITS, 1e6).softmax(-1)
    torch.testing.assert_close(hot, torch.full_like(hot, 0.25), rtol=0, atol=1e-5)


def test_a_temperature_of_one_changes_nothing():
    assert torch.equal(temper(LOGITS, 1.0), LOGITS)


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_temperatures_that_are_not_above_zero_are_refused(temperature):
    with pytest.raises(ValueError, match=r"must be above 0, got .*; top_k = 1 is greedy"):
        temper(LOGITS, temperature)


def test_top_k_by_hand():
    assert kept(keep_top_k(LOGITS, 1)) == [[0, 1, 0, 0], [0, 1, 0, 0]]
    assert kept(keep_top_k(LOGITS, 3)) == [[1, 1, 1, 0], [1, 1, 0, 1]]
    for k in (0, 4, 9):
        assert torch.equal(keep_top_k(LOGITS, k), LOGITS)


def test_ties_with_the_last_code_stay():
    logits = torch.tensor([[5.0, 1.0, 1.0, 0.0]])
    assert kept(keep_top_k(logits, 2)) == [[1, 1, 1, 0]]


def test_top_p_by_hand():
    logits = log([0.1, 0.5, 0.15, 0.25], [0.97, 0.01, 0.01, 0.01])
    assert kept(keep_top_p(logits, 0.4)) == [[0, 1, 0, 0], [1, 0, 0, 0]]
    assert kept(keep_top_p(logits, 0.6)) == [[0, 1, 0, 1], [1, 0, 0, 0]]
    assert kept(keep_top_p(logits, 0.8)) == [[0, 1, 1, 1], [1, 0, 0, 0]]
    assert torch.equal(keep_top_p(logits, 1.0), logits)


def test_top_p_keeps_no_more_of_equal_codes_than_it_needs():
    assert sum(kept(keep_top_p(torch.zeros(1, 4), 0.5))[0]) == 2
    assert sum(kept(keep_top_p(torch.zeros(1, 4), 0.51))[0]) == 3


def test_top_p_counts_only_what_top_k_has_left():
    logits = keep_top_k(log([0.4, 0.3, 0.2, 0.1]), 2)  # 4/7 and 3/7
    assert kept(keep_top_p(logits, 0.55)) == [[1, 0, 0, 0]]
    assert kept(keep_top_p(logits, 0.6)) == [[1, 1, 0, 0]]


@settings(deadline=None)
@given(
    numbers=st.lists(st.integers(-5, 5), min_size=1, max_size=8),
    k=st.integers(0, 9),
    p=st.floats(1e-6, 1.0),
)
def test_the_likeliest_code_survives_and_nothing_likelier_than_what_is_kept_is_lost(numbers, k, p):
    logits = torch.tensor([numbers], dtype=torch.float64)
    found = keep_top_p(keep_top_k(logits, k), p)[0]
    mask = torch.isfinite(found)
    assert mask[logits[0].argmax()] or logits[0][mask].max() == logits[0].max()
    assert torch.equal(found[mask], logits[0][mask])
    if not mask.all():
        assert logits[0][mask].min() >= logits[0][~mask].max()
    assert found.softmax(-1)[mask].sum().item() == pytest.approx(1)
