"""What a position sees: its past, its frame's given codes, the condition - and nothing else."""

import math
from dataclasses import replace

import pytest
import torch

from cvg.conditions.condition import KINDS
from cvg.conditions.dropout import without
from cvg.transformer.attention import window_mask
from cvg.transformer.model import Transformer, TransformerShape
from cvg.transformer.train import cross_entropies

FRAMES = 8
WINDOW, LAYERS = 2, 2


def mean_loss(logits, sequence, layout):
    return cross_entropies(logits, sequence[..., layout.num_given :]).mean()


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
    sequence, conditions = make_sequence(layout, frames=FRAMES), conditions.frames(FRAMES)
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
    sequence, conditions = make_sequence(layout, frames=4), conditions.frames(4)
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
    sequence = make_sequence(layout, frames=3)
    seen = influence(model, sequence, conditions.frames(3), frame=2, place=0)
    assert (seen[0, 2, : layout.num_given] > 0).all()


def test_a_window_of_one_frame_still_sees_the_frame_before(toys, layout, conditions, make_sequence):
    model = toys.toy_transformer(layout, window=1, layers=3)
    sequence = make_sequence(layout, frames=5)
    seen = influence(model, sequence, conditions.frames(5), frame=4, place=1)
    above = layout.num_given + 1  # the same place, one frame before
    assert seen[0, 3, above] > 0
    assert (seen[0, :3] == 0).all()


def test_the_condition_is_seen_however_long_the_video(model, toys, layout, make_sequence):
    sequence = make_sequence(layout, clips=2, frames=12)
    sequence[1] = sequence[0]
    told = [toys.Condition(caption=caption) for caption in ("a red disc", "a blue disc")]
    conditions = toys.gathered(told, 12)
    with torch.no_grad():
        logits = model(sequence, conditions)
    assert ((logits[0] - logits[1]).abs().amax(-1) > 1e-6).all()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_condition_is_seen(model, layout, conditions, make_sequence, kind):
    sequence = make_sequence(layout, clips=1)
    told = toys_row(conditions, 0)
    with torch.no_grad():
        difference = model(sequence, told) - model(sequence, without(told, [kind]))
    assert difference.abs().amax() > 1e-6


def test_an_action_and_a_map_are_seen_in_their_frame_and_after_it_and_not_before(
    model, layout, conditions, make_sequence
):
    sequence = make_sequence(layout, clips=1)
    told = toys_row(conditions, 0)
    with torch.no_grad():
        before = model(sequence, told)
        for name in ("actions", "maps"):
            changed = getattr(told, name).clone()
            changed[:, 4] += 0.5
            after = model(sequence, replace(told, **{name: changed}))
            difference = (after - before).abs().amax((0, 2, 3))
            assert (difference[:4] == 0).all()
            assert (difference[4:6] > 0).all()


def test_a_map_is_seen_at_the_places_below_it_first(toys, layout, make_sequence):
    """One cell of the map reaches the code it lies on and those around it, before any attention."""
    model = toys.toy_transformer(layout)
    maps = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    dot = maps.clone()
    dot[..., 0, 7] = 1  # the upper right corner
    found = model.frame_embedding.maps(dot) - model.frame_embedding.maps(maps)
    moved = found[0, 0].abs().amax(-1) > 0
    first = 0
    for grid in layout.grids:
        part = moved[first : first + grid.num_codes].reshape(grid.rows, grid.columns)
        near = torch.zeros_like(part)
        near[:2, -2:] = True
        assert torch.equal(part, near)
        first += grid.num_codes


def test_actions_and_maps_change_nothing_before_training(toys, layout, conditions, make_sequence):
    """Their projections start at zero, so that a model that is to learn them begins without."""
    model = Transformer(toys.toy_transformer(layout).shape, layout).double().eval()
    with torch.no_grad():
        model.head.project.weight.normal_(generator=toys.rng())
        sequence = make_sequence(layout)
        plain = model(sequence, without(conditions, ["actions", "map"]))
        assert torch.equal(model(sequence, conditions), plain)
        assert torch.equal(model(sequence, replace(conditions, actions=None, maps=None)), plain)


def test_what_is_missing_is_told_from_what_is_zero(model, layout, conditions, make_sequence):
    sequence, told = make_sequence(layout, clips=1), toys_row(conditions, 0)
    with torch.no_grad():
        for name, kind in (("actions", "actions"), ("maps", "map")):
            zeros = replace(told, **{name: torch.zeros_like(getattr(told, name))})
            missing = without(told, [kind])
            assert not torch.allclose(model(sequence, zeros), model(sequence, missing))


@pytest.mark.parametrize("order", ["raster", "parallel"])
def test_a_kept_first_frame_is_seen_from_everywhere_and_a_goal_from_before(
    toys, layout, conditions, make_sequence, order
):
    frames = 12
    plain, keeping = (
        toys.toy_transformer(layout, order=order, layers=1, window=2, keep_first=keep)
        for keep in (False, True)
    )
    sequence = make_sequence(layout, frames=frames)
    conditions = conditions.frames(frames)
    other = sequence.clone()
    other[:, 0] = (other[:, 0] + 1) % toys.CODEBOOK
    hidden = None
    if order == "parallel":
        hidden = torch.ones(*sequence.shape[:2], layout.predicted.num_codes, dtype=torch.bool)
    with torch.no_grad():
        for model, reaches in ((plain, False), (keeping, True)):
            pair = [model(codes, conditions, hidden=hidden) for codes in (sequence, other)]
            late = (pair[0] - pair[1])[:, 6:].abs().amax((0, 2, 3))
            assert ((late > 0) == reaches).all()
        goals = [toys.toy_goal(layout, time=frames - 1, seed=seed) for seed in (1, 2)]
        pair = [plain(sequence, conditions, goal=goal, hidden=hidden) for goal in goals]
        assert ((pair[0] - pair[1]).abs().amax((0, 2, 3)) > 0).all()


def test_without_an_order_of_time_the_hidden_codes_alone_are_not_seen(
    toys, layout, conditions, make_sequence
):
    """In parallel order: a hidden code has no influence, a known one of its frame has."""
    model = toys.toy_transformer(layout, order="parallel")
    sequence = make_sequence(layout, frames=4)
    conditions = conditions.frames(4)
    hidden = torch.rand(3, 4, layout.predicted.num_codes, generator=toys.rng()) < 0.5
    hidden[:, -1, 0], hidden[:, -1, 1] = True, False
    with torch.no_grad():
        before = model(sequence, conditions, hidden=hidden)[:, -1]
        for place, seen in ((0, False), (1, True)):
            changed = sequence.clone()
            changed[:, -1, layout.num_given + place] += 1
            changed %= toys.CODEBOOK
            after = model(changed, conditions, hidden=hidden)[:, -1]
            assert ((after - before).abs().amax((0, 2)) > 0).all() == seen
            assert torch.equal(after, before) != seen


def toys_row(conditions, row):
    """The conditions of one video."""
    part = slice(row, row + 1)
    return replace(
        conditions,
        prefix=conditions.prefix[part],
        actions=conditions.actions[part],
        maps=conditions.maps[part],
    )


def test_padding_has_no_influence(model, layout, conditions, make_sequence):
    sequence = make_sequence(layout)
    with torch.no_grad():
        before = model(sequence, conditions)
        model.prefix_embedding.table.weight[0] += 5
        assert torch.equal(model(sequence, conditions), before)
        assert (conditions.prefix[:, -1] == 0).all()  # not used by any
        model.prefix_embedding.place_table.weight[-1] -= 3
        assert torch.equal(model(sequence, conditions), before)
        model.prefix_embedding.table.weight[2] += 5  # no label
        assert not torch.equal(model(sequence, conditions), before)


def test_a_video_does_not_depend_on_its_batch(model, layout, conditions, make_sequence):
    sequence = make_sequence(layout)
    with torch.no_grad():
        together = model(sequence, conditions)
        for i in range(3):
            alone = model(sequence[i : i + 1], toys_row(conditions, i))
            torch.testing.assert_close(alone[0], together[i], rtol=0, atol=1e-12)


def test_a_longer_clip_begins_like_a_shorter_one(model, layout, conditions, make_sequence):
    sequence = make_sequence(layout)
    with torch.no_grad():
        short = model(sequence[:, :3], conditions.frames(3))
        long = model(sequence, conditions)
    torch.testing.assert_close(long[:, :3], short, rtol=0, atol=1e-12)


@pytest.mark.parametrize("last", [1, 3, 7, 8])
@pytest.mark.parametrize("order", ["raster", "parallel"])
def test_logits_of_the_last_frames_alone(toys, layout, conditions, make_sequence, order, last):
    model, sequence = toys.toy_transformer(layout, order=order), make_sequence(layout)
    hidden = None
    if order == "parallel":
        hidden = torch.ones_like(sequence[..., layout.num_given :], dtype=torch.bool)
    with torch.no_grad():
        whole = model(sequence, conditions, hidden=hidden)
        found = model(sequence, conditions, hidden=hidden, last=last)
    torch.testing.assert_close(found, whole[:, -last:], rtol=0, atol=1e-12)


def test_levels_and_places_are_told_apart(model, layout, conditions):
    """With the same code everywhere, logits still differ from place to place."""
    sequence = torch.full((3, 2, layout.num_places), 4)
    with torch.no_grad():
        logits = model(sequence, conditions.frames(2))[0, 1]
    differences = (logits[:, None] - logits).abs().amax(-1)
    assert (differences + torch.eye(len(logits)) > 1e-6).all()


def test_the_loss_starts_at_the_logarithm_of_the_codebook_size(
    toys, layout, conditions, make_sequence
):
    shape = vars(toys.toy_transformer(layout).shape) | {"dropout": 0.5}
    model = Transformer(TransformerShape(**shape), layout).double().train()
    sequence = make_sequence(layout)
    loss = mean_loss(model(sequence, conditions), sequence, layout)
    assert loss.item() == pytest.approx(math.log(toys.CODEBOOK), rel=1e-6)


@pytest.mark.parametrize("order", ["raster", "parallel"])
def test_every_parameter_learns(toys, layout, conditions, make_sequence, order):
    model = toys.toy_transformer(layout, order=order, keep_first=True)
    sequence = make_sequence(layout)
    hidden = None
    if order == "parallel":
        hidden = torch.rand(3, 7, layout.predicted.num_codes, generator=toys.rng()) < 0.5
    goal = toys.toy_goal(layout, time=6)
    told = replace(conditions, maps=conditions.maps.clone(), actions=conditions.actions.clone())
    mean_loss(model(sequence, told, goal=goal, hidden=hidden), sequence, layout).backward()
    idle = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    # Each order has an input of its own in place of what is unknown; only one knows its neighbours.
    allowed = {
        "raster": {"code_embedding.hidden"},
        "parallel": {"code_embedding.start", "code_embedding.beside.weight"},
    }
    assert idle == allowed[order]


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


def test_the_mask_of_parallel_order_by_hand():
    times = torch.tensor([0, 1, 1, 2])
    whole = [[1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0], [0, 1, 1, 1]]
    assert window_mask(times, window=2, order="parallel").int().tolist() == whole
    earlier = [[0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 1, 0]]
    own = [[1, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]]
    expected = [row + [0] * 4 for row in whole]
    expected += [a + b for a, b in zip(earlier, own, strict=True)]
    found = window_mask(times.repeat(2), window=2, order="parallel", twice=True)
    assert found.int().tolist() == expected


def test_logits_fall_with_the_distance_from_the_previous_code(toys, layout):
    """With nothing but steepness, codes are ranked by the distance of their vectors."""
    model = toys.toy_transformer(layout)
    with torch.no_grad():
        model.head.project.weight.zero_()
        model.head.project.bias.zero_()
        model.head.project.bias[toys.CODEBOOK + 1] = 0.7  # behind the logits and the repetition
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
