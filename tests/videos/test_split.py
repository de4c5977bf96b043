"""Splits: nothing on two sides, nothing lost, the manifest obeyed."""

import doctest
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvg.errors import UserError
from cvg.videos import split
from cvg.videos.manifest import Entry
from cvg.videos.split import (
    check_sides,
    choose_rule,
    settle_sides,
    split_by_time,
    split_by_video,
)

shares = st.floats(0.01, 0.99)


def test_examples_in_the_docstrings_hold():
    assert doctest.testmod(split).failed == 0


@given(frames=st.integers(0, 500), share=shares, gap=st.integers(0, 60))
def test_parts_of_a_video_do_not_touch_and_the_gap_is_whole(frames, share, gap):
    times_s = [frame / 25 for frame in range(frames)]
    train, held_out = split_by_time(times_s, share=share, gap_s=gap / 25)
    assert not set(train) & set(held_out)
    assert held_out.stop == frames
    assert abs(len(held_out) - share * frames) <= 0.5 + 1e-9
    if train and held_out:
        assert train.start == 0
        assert held_out.start - train.stop == gap


@given(
    steps=st.lists(st.sampled_from([0.01, 0.04, 1.0, 3600.0]), min_size=1, max_size=80),
    share=shares,
    gap_s=st.sampled_from([0.0, 0.1, 2.0]),
)
def test_the_gap_is_one_of_time_at_any_rate(steps, share, gap_s):
    times_s = [0.0, *accumulate(steps)]
    train, held_out = split_by_time(times_s, share=share, gap_s=gap_s)
    if train and held_out:
        end_s = times_s[train.stop]  # a frame lasts until the next
        assert times_s[held_out.start] - end_s >= gap_s - 1e-5
        if gap_s:  # and no more is given up than must be
            assert times_s[held_out.start] - times_s[train.stop + 1] < gap_s


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


def rows(*cells):
    """Rows of a manifest: path, split and group of each."""
    return [
        Entry(name=name, path=Path(name), row=row, split=side, group=group)
        for row, (name, side, group) in enumerate(cells, start=2)
    ]


def test_auto_goes_by_the_number_of_videos():
    videos = rows(*((str(number), None, None) for number in range(20)))
    assert choose_rule("auto", videos[:19], min_videos=20) == "time"
    assert choose_rule("auto", videos, min_videos=20) == "video"
    assert choose_rule("time", videos, min_videos=20) == "time"


def test_auto_cuts_neither_groups_nor_what_the_manifest_settles():
    assert choose_rule("auto", rows(("a", None, "g"), ("b", None, None)), min_videos=20) == "video"
    assert choose_rule("auto", rows(("a", "train", None)), min_videos=20) == "video"
    half = rows(("a", "train", None), ("b", None, None))
    assert choose_rule("auto", half, min_videos=20) == "time"


@pytest.mark.parametrize(
    ("cells", "rule", "said"),
    [
        (
            [("a", "train", "g"), ("b", "held_out", "g")],
            "video",
            r"m.csv:3: .*on train",
        ),
        ([("a", None, "g"), ("b", None, None)], "time", r"m.csv:2: found a group"),
        (
            [("a", "train", None), ("a", None, None)],
            "time",
            r"m.csv:3: found no split",
        ),
        (
            [("a", "train", None), ("a", "held_out", None), ("a", None, None)],
            "video",
            r"m.csv:4: found no split",
        ),
    ],
)
def test_sides_that_contradict_each_other_are_refused(cells, rule, said):
    with pytest.raises(UserError, match=said):
        check_sides(Path("m.csv"), rows(*cells), rule)


@pytest.mark.parametrize(
    ("cells", "rule"),
    [
        ([("a", "train", "g"), ("b", None, "g")], "video"),
        ([("a", "train", "g"), ("b", "train", "g")], "time"),
        ([("a", "train", None), ("b", None, None)], "time"),
        ([("a", "train", None), ("a", None, None)], "video"),
        ([("a", "train", None), ("a", "held_out", None)], "time"),
    ],
)
def test_sides_that_agree_pass(cells, rule):
    check_sides(Path("m.csv"), rows(*cells), rule)


def test_rows_with_a_side_keep_it_and_those_of_their_unit_follow():
    ranges = [("a", "train", None), ("a", "held_out", None)]
    videos = rows(*ranges, ("b", "held_out", "g"), ("c", None, "g"))
    for seed in range(5):
        sides = settle_sides(videos, ["1", "1", "2", "3"], share=0.5, seed=seed)
        assert sides == ["train", "held_out", "held_out", "held_out"]
