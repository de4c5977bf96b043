"""What a position sees: its past, its frame's given codes, the condition - and nothing else."""

import math

import pytest
import torch

from cvg.transformer.model import Transformer, TransformerShape, window_mask
from cvg.transformer.train import cross_entropy

FRAMES = 8
WINDOW, LAYERS = 2, 2


@pytest.fixture
def model(toys, layout):
    return toys.toy_transformer(layout, window=WINDOW, layers=LAYERS)


def influence(model, sequence, conditions, *, frame, place):
    """How much each code, `[frames, places]`, moves the logits of one predicted place."""
    captured = []
    look_up = model.code_embedding.look_up

    def capture(table, frames):
        captured.append(look_up(table, frames).detach().requires_grad_())
        return captured[-1]

    model.code_embedding.look_up = capture
    logits = model(sequence, conditions)
    del model.code_embedding.look_up
    weights = torch.randn(logits.shape[-1], generator=torch.Generator().manual_seed(1)).double()
    (logits[0, frame, place] @ weights).backward()
    b, t, m = sequence.shape
    return captured[0].grad.abs().sum(-1).reshape(b, t, m)


def places(layout):
    """The first, the last and some predicted place."""
    return (0, 1, layout.predicted.num_codes - 1)


def test_a_position_sees_exactly_its_past_within_reach(model, layout, conditions, make_sequence):
    """The reach of one layer is window - 1 frames; the aligned previous frame adds one more."""
    sequence = make_sequence(layout, frames=FRAMES)
    reach = LAYERS * (WINDOW - 1) + 1
    for frame in (0, 1, FRAMES - 1):
        for place in places(layout):
            seen = influence(model, sequence, conditions, frame=frame, place=place)
            assert (seen[1:] == 0).all(), "another video has an influence"
            order = torch.arange(FRAMES * layout.num_places).reshape(FRAMES, -1)
            earlier = order < frame * layout.num_places + layout.num_given + place
            near = (torch.arange(FRAMES) >= frame - reach)[:, None]
            assert (seen[0][~(earlier & near)] == 0).all()
            assert (seen[0][earlier & near] > 0).all()


def test_other_codes_from_a_place_on_change_nothing_up_to_it(
    model, toys, layout, conditions, make_sequence
):
    """By value, because not every way from a code to a logit has a gradient."""
    sequence = make_sequence(layout, frames=4)
    order = torch.arange(4 * layout.num_places).reshape(4, -1)
    predicted = order[:, layout.num_given :]
    with torch.no_grad():
        before = model(sequence, conditions)
        for cut in predicted[2, :3].tolist():
            changed = torch.where(order >= cut, (sequence + 1) % toys.CODEBOOK, sequence)
            difference = (model(changed, conditions) - before).abs().amax((0, 3))
            assert (difference[predicted <= cut] == 0).all()
            assert (difference[predicted > cut] > 0).all()


def test_a_predicted_place_sees_all_given_codes_of_its_frame(
    model, layout, conditions, make_sequence
):
    seen = influence(model, make_sequence(layout, frames=3), conditions, frame=2, place=0)
    assert (seen[0, 2, : layout.num_given] > 0).all()


def test_a_window_of_one_frame_still_sees_the_frame_before(toys, layout, conditions, make_sequence):
    model = toys.toy_transformer(layout, window=1, layers=3)
    seen = influence(model, make_sequence(layout, frames=5), conditions, frame=4, place=1)
    above = layout.num_given + 1  # the same place, one frame before
    assert seen[0, 3, above] > 0
    assert (seen[0, :3] == 0).all()


def test_the_condition_is_seen_however_long_the_video(model, toys, layout, make_sequence):
    sequence = make_sequence(layout, clips=2, frames=12)
    sequence[1] = sequence[0]
    conditions = toys.VOCABULARY.encode_all([("a red disc", None), ("a blue disc", None)])
    with torch.no_grad():
        logits = model(sequence, conditions)
    assert ((logits[0] - logits[1]).abs().amax(-1) > 1e-6).all()


def test_the_label_is_seen(model, toys, layout, make_sequence):
    sequence = make_sequence(layout, clips=1)
    with torch.no_grad():
        one, two = (
            model(sequence, toys.VOCABULARY.encode_all([("red", label)]))
            for label in (None, "round")
        )
    assert (one - two).abs().max() > 1e-6


def test_padding_has_no_influence(model, layout, conditions, make_sequence):
    sequence = make_sequence(layout)
    with torch.no_grad():
        before = model(sequence, conditions)
        model.condition_embedding.table.weight[0] += 5
        assert torch.equal(model(sequence, conditions), before)
        unused = conditions[:, -1] == 0
        assert unused.all()
        model.condition_embedding.place_table.weight[-1] -= 3
        assert torch.equal(model(sequence, conditions), before)
        model.condition_embedding.table.weight[3] += 5  # no label
        assert not torch.equal(model(sequence, conditions), before)


def test_a_video_does_not_depend_on_its_batch(model, layout, conditions, make_sequence):
    sequence = make_sequence(layout)
    with torch.no_grad():
        together = model(sequence, conditions)
        for i in range(3):
            alone = model(sequence[i : i + 1], conditions[i : i + 1])
            torch.testing.assert_close(alone[0], together[i], rtol=0, atol=1e-12)


def test_a_longer_clip_begins_like_a_shorter_one(model, layout, conditions, make_sequence):
    sequence = make_sequence(layout)
    with torch.no_grad():
        short, long = model(sequence[:, :3], conditions), model(sequence, conditions)
    torch.testing.assert_close(long[:, :3], short, rtol=0, atol=1e-12)


def test_levels_and_places_are_told_apart(model, layout, conditions):
    """With the same code everywhere, logits still differ from place to place."""
    sequence = torch.full((3, 2, layout.num_places), 4)
    with torch.no_grad():
        logits = model(sequence, conditions)[0, 1]
    differences = (logits[:, None] - logits).abs().amax(-1)
    assert (differences + torch.eye(len(logits)) > 1e-6).all()


def test_the_loss_starts_at_the_logarithm_of_the_codebook_size(
    toys, layout, conditions, make_sequence
):
    shape = vars(toys.toy_transformer(layout).shape) | {"dropout": 0.5}
    model = Transformer(TransformerShape(**shape), layout).train()
    sequence = make_sequence(layout)
    loss = cross_entropy(model(sequence, conditions), sequence[..., layout.num_given :])
    assert loss.item() == pytest.approx(math.log(toys.CODEBOOK), rel=1e-6)


def test_every_parameter_learns(model, layout, conditions, make_sequence):
    sequence = make_sequence(layout)
    cross_entropy(model(sequence, conditions), sequence[..., layout.num_given :]).backward()
    idle = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    # In the last layer the prefix is looked at but looks at nothing itself; the top has no parent.
    allowed = {"code_embedding.parent_projection.weight"} if layout.num_given == 0 else set()
    assert idle == allowed


def test_codebook_vectors_are_an_input(model, toys, layout, conditions, make_sequence):
    sequence = make_sequence(layout)
    with torch.no_grad():
        before = model(sequence, conditions)
        other = {k: torch.from_numpy(v).double() for k, v in toys.codebooks(seed=9).items()}
        model.set_codebooks(other)
        assert not torch.allclose(model(sequence, conditions), before)
        doubled = {level: 2 * vectors for level, vectors in other.items()}
        scaled = model(sequence, conditions)
        model.set_codebooks(doubled)  # their scale plays no part
        torch.testing.assert_close(model(sequence, conditions), scaled)


def test_the_window_mask_by_hand():
    times = torch.tensor([0, 0, 1, 1, 2, 2])
    expected = [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [0, 0, 1, 1, 1, 0],
        [0, 0, 1, 1, 1, 1],
    ]
    assert window_mask(times, window=2).int().tolist() == expected


def test_logits_fall_with_the_distance_from_the_previous_code(toys, layout):
    """With nothing but steepness, codes are ranked by the distance of their vectors."""
    model = toys.toy_transformer(layout)
    with torch.no_grad():
        for head in (model.head, model.repeat_head, model.near_head):
            head.weight.zero_()
            head.bias.zero_()
        model.near_head.bias[0] = 0.7
    previous = torch.arange(toys.CODEBOOK)
    features = torch.zeros(toys.CODEBOOK, model.shape.width, dtype=torch.float64)
    logits = model.predict(features, previous)
    # Those of the predicted level, which is the last.
    vectors = model.code_embedding.codebook_vectors[-toys.CODEBOOK :]
    distances = torch.cdist(vectors, vectors).square()
    # Differences, because what all codes have in common is left out.
    falls = logits.diagonal()[:, None] - logits
    assert torch.allclose(falls, 0.7 * distances)
    assert (logits.argmax(1) == previous).all()
