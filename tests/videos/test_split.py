"""Splits: nothing on two sides, nothing lost, the manifest obeyed."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvg.videos import split
from cvg.videos.split import choose_rule, split_by_time, split_by_video

shares = st.floats(0.01, 0.99)


def test_examples_in_the_docstrings_hold():
    assert doctest.testmod(split).failed == 0


@given(frames=st.integers(0, 500), share=shares, gap=st.integers(0, 60))
def test_parts_of_a_video_do_not_touch_and_the_gap_is_whole(frames, share, gap):
    train, held_out = split_by_time(frames, share=share, gap=gap)
    assert not set(train) & set(held_out)
    assert held_out.stop == frames
    assert abs(len(held_out) - share * frames) <= 0.5 + 1e-9
    if train:
        assert train.start == 0
        assert held_out.start - train.stop == gap


@given(count=st.integers(2, 60), share=shares, seed=st.integers(0, 5))
def test_every_video_has_one_side_and_the_share_is_exact(count, share, seed):
    ids = [f"{number:064x}" for number in range(count)]
    sides = split_by_video(ids, share=share, seed=seed, fixed={})
    assert list(sides) == ids
    wanted = min(max(int(count * share + 0.5), 1), count - 1)
    assert list(sides.values()).count("held_out") == wanted


@given(
    settled=st.lists(st.sampled_from(["train", "held_out", None]), min_size=1, max_size=20),
    share=shares,
)
def test_the_manifest_wins(settled, share):
    ids = [str(number) for number in range(len(settled))]
    fixed = {name: side for name, side in zip(ids, settled, strict=True) if side}
    sides = split_by_video(ids, share=share, seed=0, fixed=fixed)
    assert set(sides) == set(ids)
    assert {name: sides[name] for name in fixed} == fixed
    if len(ids) - len(fixed) >= 2:
        assert set(sides.values()) == {"train", "held_out"}


def test_the_place_in_the_manifest_moves_no_video_and_the_seed_does():
    ids = [str(number) for number in range(40)]
    sides = split_by_video(ids, share=0.3, seed=0, fixed={})
    assert split_by_video(ids[::-1], share=0.3, seed=0, fixed={}) == sides
    assert split_by_video(ids, share=0.3, seed=1, fixed={}) != sides


def test_the_choice_is_the_same_on_every_machine():
    sides = split_by_video([str(number) for number in range(6)], share=0.34, seed=0, fixed={})
    assert [name for name, side in sides.items() if side == "held_out"] == ["1", "5"]


def test_duplicate_ids_are_refused():
    with pytest.raises(ValueError, match="must differ"):
        split_by_video(["a", "a"], share=0.5, seed=0, fixed={})


def test_auto_goes_by_the_number_of_videos():
    assert choose_rule("auto", num_videos=19, min_videos=20) == "time"
    assert choose_rule("auto", num_videos=20, min_videos=20) == "video"
    assert choose_rule("time", num_videos=99, min_videos=20) == "time"
