"""Writing code by code computes what training computed, for as long as one likes."""

import pytest
import torch

from cvg.transformer.decoder import Decoder
from cvg.transformer.packing import pack


@pytest.fixture(params=[False, True], ids=["sliding", "first frame kept"])
def keep_first(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["open end", "goal"])
def with_goal(request):
    return request.param


def begin(model, conditions, goal=None):
    return Decoder(pack(model, "fp32"), conditions, goal=goal)


def feed(decoder, sequence, layout):
    """Logits of all predicted places, fed in whole frames."""
    rows = []
    for frame in sequence.unbind(1):
        decoder.begin()
        rows.append(decoder.give(frame)[:, layout.num_given :])
    return torch.stack(rows, dim=1)


def write(decoder, sequence, layout):
    """Logits of all predicted places, as in sampling."""
    frames = []
    for frame in sequence.unbind(1):
        decoder.begin()
        if layout.num_given:
            decoder.give(frame[:, : layout.num_given])
        logits = []
        for codes in frame[:, layout.num_given :].unbind(1):
            logits.append(decoder.peek())
            decoder.put(codes)
        frames.append(torch.stack(logits, dim=1))
    return torch.stack(frames, dim=1)


@pytest.mark.parametrize("window", [1, 2, 3])
@pytest.mark.parametrize("context", [0, 1, 4, 19])
def test_writing_equals_one_pass_ten_windows_past_the_context(
    toys, layout, make_sequence, window, context, keep_first, with_goal
):
    """With every condition; the anchors stay in sight at distances far beyond those of training."""
    frames = context + 10 * window
    model = toys.toy_transformer(layout, window=window, keep_first=keep_first)
    sequence = make_sequence(layout, frames=frames)
    conditions = toys.gathered(toys.toy_conditions(frames), frames)
    goal = toys.toy_goal(layout, time=frames - 2) if with_goal else None
    with torch.no_grad():
        expected = model(sequence, conditions, goal=goal)
    decoder = begin(model, conditions, goal)
    if context:
        decoder.prefill(sequence[:, :context])
    found = write(decoder, sequence[:, context:], layout)
    torch.testing.assert_close(found, expected[:, context:], rtol=0, atol=1e-10)


def test_in_single_precision_it_holds_to_five_digits(toys, layout, make_sequence):
    model = toys.toy_transformer(layout, keep_first=True).float()
    frames = 25
    sequence = make_sequence(layout, clips=1, frames=frames)
    conditions = toys.CONDITIONING.gather(toys.toy_conditions(frames)[:1], frames=frames)
    with torch.no_grad():
        expected = model(sequence, conditions)
    found = write(begin(model, conditions), sequence, layout)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_frames_may_be_given_whole(toys, layout, conditions, make_sequence):
    model = toys.toy_transformer(layout, window=2, layers=3)
    sequence = make_sequence(layout)
    with torch.no_grad():
        expected = model(sequence, conditions)
    decoder = begin(model, conditions)
    found = [feed(decoder, sequence[:, :4], layout), write(decoder, sequence[:, 4:], layout)]
    torch.testing.assert_close(torch.cat(found, dim=1), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("context", [0, 3])
def test_in_parallel_order_looking_equals_one_pass(
    toys, layout, conditions, make_sequence, context, keep_first, with_goal
):
    model = toys.toy_transformer(layout, order="parallel", keep_first=keep_first)
    sequence = make_sequence(layout)
    shape = (*sequence.shape[:2], layout.predicted.num_codes)
    hidden = torch.rand(shape, generator=toys.rng()) < 0.5
    goal = toys.toy_goal(layout, time=5) if with_goal else None
    with torch.no_grad():
        expected = model(sequence, conditions, goal=goal, hidden=hidden)
    decoder = begin(model, conditions, goal)
    if context:
        decoder.prefill(sequence[:, :context])
    for frame in range(context, sequence.shape[1]):
        decoder.begin()
        decoder.look(sequence[:, frame], ~hidden[:, frame])  # leaves no trace
        found = decoder.look(sequence[:, frame], hidden[:, frame])
        torch.testing.assert_close(found, expected[:, frame], rtol=0, atol=1e-10)
        decoder.give(sequence[:, frame])


@pytest.mark.parametrize("begin_with", ["given codes", "some more codes"])
def test_codes_may_be_given_at_any_place_of_a_frame(
    toys, layout, conditions, make_sequence, begin_with
):
    model, sequence = toys.toy_transformer(layout), make_sequence(layout, frames=4)
    with torch.no_grad():
        expected = model(sequence, conditions.frames(4))
    decoder, frames = begin(model, conditions), []
    first = layout.num_given + (begin_with == "some more codes")
    for frame in sequence.unbind(1):
        decoder.begin()
        logits = []
        if first:
            logits += decoder.give(frame[:, :first])[:, layout.num_given :].unbind(1)
        for place in range(first, frame.shape[1], 2):
            logits.append(decoder.peek())
            decoder.put(frame[:, place])
            if place + 1 < frame.shape[1]:
                logits += decoder.give(frame[:, place + 1 : place + 2]).unbind(1)
        frames.append(torch.stack(logits, dim=1))
    torch.testing.assert_close(torch.stack(frames, dim=1), expected, rtol=0, atol=1e-10)


def test_peeking_does_not_see_the_code_that_is_to_be_drawn(toys, layout, conditions, make_sequence):
    """What is left in the buffer from the frame before has no influence."""
    model = toys.toy_transformer(layout)
    sequence = make_sequence(layout, frames=1)[:, 0]
    logits = []
    for leftover in (0, 3):
        decoder = begin(model, conditions)
        decoder._numbers[:, :-1] = leftover
        decoder.begin()
        if layout.num_given:
            decoder.give(sequence[:, : layout.num_given])
        logits.append(decoder.peek())
    assert torch.equal(*logits)


def test_a_frame_taken_back_leaves_no_trace(toys, layout, conditions, make_sequence, keep_first):
    model = toys.toy_transformer(layout, keep_first=keep_first)
    sequence, other = make_sequence(layout), make_sequence(layout, seed=5)
    with torch.no_grad():
        expected = model(sequence, conditions)
    decoder = begin(model, conditions)
    found = []
    for frame in range(sequence.shape[1]):
        write(decoder, other[:, frame : frame + 1], layout)
        decoder.rewind()
        found.append(write(decoder, sequence[:, frame : frame + 1], layout))
    torch.testing.assert_close(torch.cat(found, dim=1), expected, rtol=0, atol=1e-10)


def test_another_condition_holds_from_its_frame_on(toys, layout, make_sequence, with_goal):
    """What the first one left is forgotten once the reach of all layers has passed."""
    layers, window, change, frames = 2, 2, 3, 10
    model = toys.toy_transformer(layout, window=window, layers=layers)
    sequence = make_sequence(layout, clips=1, frames=frames)
    one, two = (
        toys.gathered([toys.Condition(caption=caption)], frames) for caption in ("red", "blue disc")
    )
    goal = toys.toy_goal(layout, time=frames, clips=1) if with_goal else None
    with torch.no_grad():
        before, after = (model(sequence, told, goal=goal) for told in (one, two))
    decoder = begin(model, one, goal)
    found = [write(decoder, sequence[:, :change], layout)]
    decoder.change(two)
    found.append(write(decoder, sequence[:, change:], layout))
    found = torch.cat(found, dim=1)
    torch.testing.assert_close(found[:, :change], before[:, :change], rtol=0, atol=1e-10)
    forgotten = change + layers * (window - 1)
    torch.testing.assert_close(found[:, forgotten:], after[:, forgotten:], rtol=0, atol=1e-10)
    assert not torch.allclose(found[:, change], after[:, change])
    assert not torch.allclose(found[:, change], before[:, change])


def test_memory_does_not_grow_with_the_number_of_frames(toys, layout, conditions, make_sequence):
    model = toys.toy_transformer(layout, window=2, keep_first=True)
    decoder = begin(model, conditions)
    sizes = set()
    for number, frame in enumerate(make_sequence(layout, frames=20).unbind(1)):
        decoder.begin()
        decoder.give(frame)
        held = [vars(layer).values() for layer in decoder._cache.layers]
        own = [value for value in vars(decoder).values() if isinstance(value, torch.Tensor)]
        if number > 1:  # from then on there is a frame before, and one before that
            sizes.add(sum(tensor.numel() for group in (*held, own) for tensor in group))
    assert len(sizes) == 1


def test_no_graph_is_kept(toys, layout, conditions, make_sequence):
    model = toys.toy_transformer(layout)
    decoder = begin(model, conditions)
    decoder.begin()
    assert not decoder.give(make_sequence(layout)[:, 0]).requires_grad
    decoder.begin()
    assert not decoder._base.requires_grad


@pytest.mark.parametrize(("packing", "bound"), [("onednn", 1e-5), ("fp16", 1e-2)])
def test_packed_weights_change_logits_by_no_more_than_their_rounding(
    toys, layout, make_sequence, packing, bound
):
    model = toys.toy_transformer(layout).float()
    sequence = make_sequence(layout)
    conditions = toys.CONDITIONING.gather(toys.toy_conditions(), frames=7)
    plain = write(begin(model, conditions), sequence, layout)
    packed = write(Decoder(pack(model, packing), conditions), sequence, layout)
    difference = (plain - packed).abs().max().item()
    assert 0 < difference < bound


def test_on_other_devices_weights_stay_as_they_are(toys, layout):
    model = toys.toy_transformer(layout).to("meta")
    assert pack(model, "fp16").packing == "fp32"


def test_where_a_layout_is_missing_weights_stay_as_they_are_and_that_is_said(
    toys, layout, monkeypatch, capsys
):
    monkeypatch.setattr("cvg.transformer.packing.is_available", lambda packing: packing == "fp32")
    assert pack(toys.toy_transformer(layout).float(), "fp16").packing == "fp32"
    assert "sample.packing is fp16, which this machine does not have" in capsys.readouterr().err


def test_videos_that_are_taken_go_on_from_where_they_were(
    toys, layout, make_sequence, keep_first, with_goal
):
    model = toys.toy_transformer(layout, window=2, keep_first=keep_first)
    sequence = make_sequence(layout, frames=7)
    conditions = toys.gathered(toys.toy_conditions(7), 7)
    goal = toys.toy_goal(layout, time=8) if with_goal else None
    decoder = begin(model, conditions, goal)
    decoder.prefill(sequence[:, :3])
    rows = torch.tensor([2, 0, 0, 1])
    decoder.take(rows)
    found = feed(decoder, sequence[rows, 3:], layout)
    whole = begin(model, conditions, goal)
    whole.prefill(sequence[:, :3])
    expected = feed(whole, sequence[:, 3:], layout)
    assert torch.allclose(found, expected[rows])
    decoder.change(conditions.take(rows))
    whole.change(conditions)
    more = make_sequence(layout, frames=1, seed=4)
    assert torch.allclose(feed(decoder, more[rows], layout), feed(whole, more, layout)[rows])
