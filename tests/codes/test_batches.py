"""Batches of codes: the right windows, of the right segments, in the right order."""

import pytest
import torch

from cvg.codes.batches import CodeBatches
from cvg.codes.layout import layout_of
from cvg.errors import UserError


@pytest.fixture(scope="module")
def store(toys, tmp_path_factory):
    return toys.write_codes(tmp_path_factory.mktemp("batches") / "codes")


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=["top", "bottom"])
def layout(request, store):
    return layout_of(request.param, store.grids)


def test_in_order_gives_every_window_once_with_its_own_segment(store, layout):
    batches = CodeBatches(store, "held_out", layout=layout, length=11)
    found = []
    for batch in batches.in_order(4, most=1000):
        assert len(batch.sequence) == len(batch.segments) <= 4
        found += zip(batch.sequence, batch.segments, strict=True)
    expected = [
        (segment, start)
        for segment in store.segments("held_out")
        for start in range(segment.num_frames - 10)
    ]
    assert [segment for _, segment in found] == [segment for segment, _ in expected]
    for (sequence, _), (segment, start) in zip(found, expected, strict=True):
        window = store.window(segment, start, 11)
        codes = {level: torch.from_numpy(array)[None] for level, array in window.items()}
        assert torch.equal(sequence, layout.to_sequence(codes)[0])


def test_at_most_so_many(store, layout):
    batches = CodeBatches(store, "held_out", layout=layout, length=3)
    assert sum(len(batch.segments) for batch in batches.in_order(4, most=10)) == 10


def test_random_windows_are_all_reached_and_repeat_with_the_seed(store, layout):
    batches = CodeBatches(store, "train", layout=layout, length=6)
    first, again = (batches.random(200, rng=rng(1)) for _ in range(2))
    assert torch.equal(first.sequence, again.sequence)
    seen = {tuple(sequence.flatten().tolist()) for sequence in first.sequence}
    assert len(seen) == (9 - 5) + (7 - 5)
    assert {segment.split for segment in first.segments} == {"train"}


def test_a_length_that_no_segment_has_is_refused(store, layout):
    with pytest.raises(UserError, match=r"no train segment has 10 frames; lower clip_frames"):
        CodeBatches(store, "train", layout=layout, length=10)
