"""The step that a graph records computes what `Decoder.peek` computes.

There is no CUDA here: a recording is rehearsed by noting PyTorch's operations with their tensors
and numbers, and doing the same ones again. `test_cuda.py` has what needs a graphics card.
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cvg.errors import UserError
from cvg.transformer.decoder import Decoder
from cvg.transformer.graph import GraphSight, is_wanted
from cvg.transformer.packing import pack

FRAMES = 6


class Rehearsal(TorchDispatchMode):
    """Notes operations as a graph does: with the tensors and the numbers of that time."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        assert all(isinstance(leaf, torch.Tensor) for leaf in tree_leaves(result)), (
            f"{function} waits for the device"
        )
        self.calls.append((function, args, kwargs or {}, result))
        return result

    def repeat(self):
        for function, args, kwargs, result in self.calls:
            again = function(*args, **kwargs)
            for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                if old.data_ptr() != new.data_ptr():
                    old.copy_(new)


def rehearse(compute, device):
    """Stand in for `record`."""
    for _ in range(2):
        compute()
    rehearsal = Rehearsal()
    with rehearsal:
        logits = compute()
    logits.fill_(torch.nan)  # a recording computes nothing yet

    def replay():
        rehearsal.repeat()
        return logits.clone()

    return replay


def call(compute, device):
    """Stand in for `record`, without recording."""
    return compute


@pytest.fixture(params=[call, rehearse], ids=["called", "rehearsed"])
def record(request):
    return request.param


def begin(model, told, *, goal=None, record=None):
    """Give a decoder, which writes by a graph's step where a way to record is given."""
    decoder = Decoder(pack(model, "fp32"), told, goal=goal)
    if record is not None:
        decoder._sight = GraphSight(decoder._packed, record=record)
    return decoder


def write(decoder, sequence, given):
    """Give the logits of known codes, frame after frame."""
    frames = []
    for frame in sequence.unbind(1):
        decoder.begin()
        if given:
            decoder.give(frame[:, :given])
        logits = []
        for codes in frame[:, given:].unbind(1):
            logits.append(decoder.peek())
            decoder.put(codes)
        frames.append(torch.stack(logits, dim=1))
    return torch.stack(frames, dim=1)


def assert_equal(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("with_goal", "context"), [(False, 0), (True, 2)], ids=["bare", "goal"])
@pytest.mark.parametrize(
    "shape", [{}, {"window": 1, "layers": 3}, {"window": 3, "keep_first": True}], ids=str
)
def test_logits_are_those_of_peek(
    toys, layout, conditions, make_sequence, record, shape, with_goal, context
):
    model = toys.toy_transformer(layout, **shape)
    sequence = make_sequence(layout, frames=FRAMES)
    goal = toys.toy_goal(layout, time=FRAMES - 2) if with_goal else None
    logits = []
    for way in (None, record):
        decoder = begin(model, conditions, goal=goal, record=way)
        if context:
            decoder.prefill(sequence[:, :context])
        logits.append(write(decoder, sequence[:, context:], layout.num_given))
    assert_equal(*logits)


def test_videos_that_are_taken_and_frames_taken_back_go_on_right(
    toys, layout, conditions, make_sequence, record
):
    model = toys.toy_transformer(layout, keep_first=True)
    sequence, given = make_sequence(layout, frames=FRAMES), layout.num_given
    logits = []
    for way in (None, record):
        decoder, found, rows = begin(model, conditions, record=way), [], torch.arange(3)
        for taken in ([0, 1, 2], [2, 0, 0, 1], [3, 1, 0, 2], [1]):
            decoder.take(torch.tensor(taken))
            rows = rows[taken]
            for _ in range(2):
                found.append(write(decoder, sequence[rows, 3:4], given))
                decoder.rewind()
            found.append(write(decoder, sequence[rows, 4:5], given))
        logits.append(torch.cat(found))
    assert_equal(*logits)


def test_other_conditions_hold_from_their_frame_on(toys, layout, conditions, make_sequence, record):
    model = toys.toy_transformer(layout)
    sequence, other = make_sequence(layout, frames=4), conditions.take(torch.tensor([2, 0, 1]))
    goal = toys.toy_goal(layout, time=5)
    logits = []
    for way in (None, record):
        decoder = begin(model, conditions, goal=goal, record=way)
        found = [write(decoder, sequence[:, :2], layout.num_given)]
        decoder.change(other)
        found.append(write(decoder, sequence[:, 2:], layout.num_given))
        logits.append(torch.cat(found))
    assert_equal(*logits)


def test_codes_may_be_given_at_any_place_of_a_frame(
    toys, layout, conditions, make_sequence, record
):
    model = toys.toy_transformer(layout)
    half = layout.num_given + layout.predicted.num_codes // 2
    logits = []
    for way in (None, record):
        decoder, found = begin(model, conditions, record=way), []
        for frame in make_sequence(layout, frames=4).unbind(1):
            decoder.begin()
            for place, codes in enumerate(frame.unbind(1)):
                if place == half:
                    found.append(decoder.give(codes[:, None])[:, 0])
                else:
                    found.append(decoder.peek())
                    decoder.put(codes)
        logits.append(torch.stack(found))
    assert_equal(*logits)


def test_it_is_recorded_once_for_as_long_as_its_arrays_are_the_same(
    toys, layout, conditions, make_sequence
):
    recordings = []

    def counted(compute, device):
        recordings.append(device)
        return compute

    sequence, given = make_sequence(layout, frames=FRAMES), layout.num_given
    decoder = begin(toys.toy_transformer(layout), conditions, record=counted)
    write(decoder, sequence[:, :1], given)
    assert len(recordings) == 1
    write(decoder, sequence[:, 1:5], given)
    assert len(recordings) == 2  # there is a frame before
    decoder.rewind()
    decoder.change(conditions)
    write(decoder, sequence[:, 5:], given)
    assert len(recordings) == 2
    decoder.take(torch.tensor([2, 0, 1]))
    write(decoder, sequence, given)
    assert len(recordings) == 3


def test_only_a_setting_and_cuda_and_raster_order_ask_for_it(toys, layout, conditions, monkeypatch):
    cuda, cpu = torch.device("cuda", 1), torch.device("cpu")
    monkeypatch.delenv("CVG_CUDA_GRAPH", raising=False)
    assert not is_wanted(cuda, "raster")
    monkeypatch.setenv("CVG_CUDA_GRAPH", "1")
    assert is_wanted(cuda, "raster")
    assert not is_wanted(cuda, "parallel")
    assert not is_wanted(cpu, "raster")
    model = toys.toy_transformer(layout)
    assert begin(model, conditions)._sight is None
    monkeypatch.setattr(type(model), "device", cuda)
    assert isinstance(begin(model, conditions)._sight, GraphSight)
    monkeypatch.setenv("CVG_CUDA_GRAPH", "yes")
    with pytest.raises(UserError, match="CVG_CUDA_GRAPH=yes: expected one of 0, 1"):
        begin(model, conditions)
