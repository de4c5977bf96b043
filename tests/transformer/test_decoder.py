"""Writing place by place computes what training computed."""

import pytest
import torch

from cvg.transformer.decoder import Decoder

FRAMES = 8


def whole_frames(layout):
    return [layout.num_places]


def place_by_place(layout):
    return [1] * layout.num_places


def given_then_singles(layout):
    return [layout.num_given] * bool(layout.num_given) + [1] * layout.predicted.num_codes


def uneven(layout):
    return [1, 2, layout.num_places - 3]


def feed(decoder, sequence, layout, cut):
    """Logits of all predicted places, fed in parts."""
    rows = []
    for frame in sequence.unbind(1):
        parts = [decoder.feed(codes) for codes in frame.split(cut(layout), dim=1)]
        rows.append(torch.cat(parts, dim=1)[:, layout.num_given :])
    return torch.stack(rows, dim=1)


def write(decoder, sequence, layout):
    """Logits of all predicted places, as in sampling."""
    rows = []
    for frame in sequence.unbind(1):
        if layout.num_given:
            decoder.feed(frame[:, : layout.num_given])
        for codes in frame[:, layout.num_given :].unbind(1):
            rows.append(decoder.peek())
            decoder.put(codes)
    stacked = torch.stack(rows, dim=1)
    return stacked.reshape(len(sequence), sequence.shape[1], -1, stacked.shape[-1])


@pytest.mark.parametrize("window", [1, 2, 3])
@pytest.mark.parametrize("cut", [whole_frames, place_by_place, given_then_singles, uneven])
def test_feeding_equals_one_pass(toys, layout, conditions, make_sequence, window, cut):
    model = toys.toy_transformer(layout, window=window)
    sequence = make_sequence(layout, frames=3 * window + 2)
    with torch.no_grad():
        expected = model(sequence, conditions)
    found = feed(Decoder(model, conditions), sequence, layout, cut)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("window", [1, 3])
def test_writing_equals_one_pass(toys, layout, conditions, make_sequence, window):
    model = toys.toy_transformer(layout, window=window)
    sequence = make_sequence(layout, frames=3 * window + 2)
    with torch.no_grad():
        expected = model(sequence, conditions)
    found = write(Decoder(model, conditions), sequence, layout)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def test_context_may_be_fed_by_frames_and_the_rest_written(toys, layout, conditions, make_sequence):
    model = toys.toy_transformer(layout, window=2, layers=3)
    sequence = make_sequence(layout, frames=FRAMES)
    with torch.no_grad():
        expected = model(sequence, conditions)
    decoder = Decoder(model, conditions)
    context = feed(decoder, sequence[:, :5], layout, whole_frames)
    rest = write(decoder, sequence[:, 5:], layout)
    torch.testing.assert_close(torch.cat([context, rest], dim=1), expected, rtol=0, atol=1e-10)


def test_peeking_does_not_see_the_code_that_is_to_be_drawn(toys, layout, conditions, make_sequence):
    """What is left in the buffer from the frame before has no influence."""
    model = toys.toy_transformer(layout)
    sequence = make_sequence(layout, frames=1)[:, 0]
    logits = []
    for leftover in (0, 7):
        decoder = Decoder(model, conditions)
        decoder._codes.fill_(leftover)
        if layout.num_given:
            decoder.feed(sequence[:, : layout.num_given])
        logits.append(decoder.peek())
    assert torch.equal(*logits)


def test_memory_does_not_grow_with_the_number_of_frames(toys, layout, conditions, make_sequence):
    model = toys.toy_transformer(layout, window=2)
    decoder = Decoder(model, conditions)
    sizes = set()
    for frame in make_sequence(layout, frames=20).unbind(1):
        decoder.feed(frame)
        state = [tensor for layer in decoder._cache.layers for tensor in (layer.keys, layer.values)]
        sizes.add(sum(tensor.numel() for tensor in (*state, decoder._codes, decoder._brought)))
    assert len(sizes) == 1


def test_no_graph_is_kept(toys, layout, conditions, make_sequence):
    model = toys.toy_transformer(layout)
    decoder = Decoder(model, conditions)
    assert not decoder.feed(make_sequence(layout)[:, 0]).requires_grad
    assert not decoder._brought.requires_grad
