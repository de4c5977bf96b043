"""The learning rate at the ends of a run, and in between."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvg.training.schedule import learning_rate_factor


def factors(warmup_steps, steps):
    return [
        learning_rate_factor(step, warmup_steps=warmup_steps, steps=steps) for step in range(steps)
    ]


def test_it_warms_up_to_one_and_ends_near_zero():
    found = factors(10, 1000)
    assert found[0] == pytest.approx(0.1)
    assert found[9] == found[10] == 1.0
    assert found[10 + 990 // 2] == pytest.approx(0.5)
    assert 0 < found[-1] < 1e-5


def test_without_warm_up_it_starts_at_one():
    assert factors(0, 4)[0] == 1.0


@settings(deadline=None)
@given(warmup_steps=st.integers(0, 20), rest=st.integers(1, 50))
def test_it_rises_and_then_falls_and_is_never_zero(warmup_steps, rest):
    found = factors(warmup_steps, warmup_steps + rest)
    assert found[:warmup_steps] == sorted(found[:warmup_steps])
    assert found[warmup_steps:] == sorted(found[warmup_steps:], reverse=True)
    assert all(0 < factor <= 1 for factor in found)


@settings(deadline=None)
@given(
    step=st.integers(0, 30),
    warmup_steps=st.integers(0, 20),
    rest=st.integers(1, 50),
    progress=st.floats(0, 2),
)
def test_the_measure_that_is_ahead_counts(step, warmup_steps, rest, progress):
    steps = warmup_steps + rest

    def factor(step, progress=0.0):
        return learning_rate_factor(step, warmup_steps=warmup_steps, steps=steps, progress=progress)

    found = factor(step, progress)
    assert found <= factor(step) + 1e-12
    if progress >= 1:
        assert found == pytest.approx(0, abs=1e-12)
    elif progress * steps <= step:
        assert found == factor(step)
    elif step >= warmup_steps:
        later = min(round(progress * steps), steps)
        assert found == pytest.approx(factor(later), abs=2 / rest)
