"""Choosing frames by time."""

import doctest
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvg.videos import timing
from cvg.videos.timing import mean_rate, resample, ticks_between

steps_ms = st.lists(st.integers(1, 400), min_size=1, max_size=30)
rates = st.floats(0.5, 60)


def film(steps):
    times, now = [0.0], 0
    for step in steps:
        now += step
        times.append(now / 1000)
    return list(zip(times, times, strict=True))


def test_examples_in_the_docstrings_hold():
    assert doctest.testmod(timing).failed == 0


@given(steps=steps_ms, fps=rates)
def test_the_grid_has_no_holes_and_every_tick_has_the_nearest_frame(steps, fps):
    frames = film(steps)
    chosen = list(resample(frames, fps=fps))
    assert [round(tick * fps) for tick, _ in chosen] == list(range(len(chosen)))
    for tick, time in chosen:
        nearest = min(abs(tick - other) for other, _ in frames)
        assert abs(tick - time) <= nearest + 1e-5


@given(steps=steps_ms)
def test_without_a_rate_nothing_is_changed(steps):
    assert list(resample(film(steps), fps=None)) == film(steps)


@given(cuts=st.lists(st.floats(0, 5), min_size=2, max_size=9), fps=rates)
def test_neighbouring_spans_share_no_tick_and_lose_none(cuts, fps):
    cuts = sorted(cuts)
    parts = [
        tick
        for start, stop in itertools.pairwise(cuts)
        for tick in ticks_between(start, stop, fps=fps)
    ]
    assert parts == list(ticks_between(cuts[0], cuts[-1], fps=fps))


@pytest.mark.parametrize("jitter", [0.0, 0.0004])
def test_times_rounded_to_milliseconds_do_not_repeat_frames(jitter):
    frames = [(round(index / 30, 3) + jitter * (index > 0), index) for index in range(60)]
    assert [index for _, index in resample(frames, fps=30.0)] == list(range(60))
    assert [index for _, index in resample(frames, fps=15.0)] == list(range(0, 60, 2))


def test_ten_seconds_at_25_give_100_frames_at_10():
    frames = [(index / 25, index) for index in range(250)]
    assert len(list(resample(frames, fps=10.0))) == 100


def test_nothing_in_nothing_out():
    assert list(resample([], fps=5.0)) == []


def test_a_rate_needs_two_frames():
    assert mean_rate(1, 0.0) is None
    assert mean_rate(3, 1.0) == 2.0
