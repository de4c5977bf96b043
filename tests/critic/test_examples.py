"""Examples: which frames they show, what noise does, and that what is told is of the clip."""

import pytest
import torch

from cvg.codes.batches import CodeBatches
from cvg.codes.layout import layout_of
from cvg.critic.corruptions import CORRUPTIONS
from cvg.critic.examples import SUCCESSIVE, ExampleMaker
from cvg.errors import UserError
from cvg.training.group import Group


@pytest.fixture
def make(toys, store, sight):
    def make(split="held_out", **changes):
        params = toys.toy_params().critic.model_copy(update={"shift": 0, "flip": False} | changes)
        return ExampleMaker(store, split, sight, toys.CONDITIONING, params)

    return make


@pytest.fixture
def batch(toys, store):
    layout = layout_of("bottom", toys.GRIDS)
    batches = CodeBatches(store, "held_out", layout=layout, length=9)
    return batches.random(6, rng=toys.rng())


def shown(sight, toys, batch, frames):
    codes = layout_of("bottom", toys.GRIDS).from_sequence(batch.sequence[:, frames])
    return sight.see(sight.look_up(codes))


def test_a_doubled_clip_shows_every_second_frame_of_its_window(toys, sight, make, batch):
    examples = make().corrupted(batch, ["doubled"] * 6, rng=toys.rng())
    assert torch.allclose(examples.pictures, shown(sight, toys, batch, slice(None, None, 2)))


@pytest.mark.parametrize("kind", [None, *CORRUPTIONS])
def test_an_example_is_what_it_is_called(toys, sight, make, batch, kind):
    examples = make().corrupted(batch, [kind] * 6, rng=toys.rng())
    assert examples.real.tolist() == [kind is None] * 6
    everything = shown(sight, toys, batch, slice(None))
    alike = (examples.pictures[:, :, None] - everything[:, None]).abs().flatten(3).amax(3) < 1e-5
    if kind == "noisy":
        assert not alike.any(2).all()
    elif kind != "spliced":  # which has frames of other windows
        assert alike.any(2).all()


def test_noise_is_as_strong_as_asked(toys, make, batch):
    maker = make(noise=0.2)
    if maker._sight.input == "codes":
        pytest.skip("codes are replaced, in tests of the share of corrupted codes")
    clean, noisy = (
        maker.corrupted(batch, [kind] * 6, rng=toys.rng()).pictures for kind in (None, "noisy")
    )
    # The same generator draws the same first frames.
    deviations = (noisy - clean).flatten(1).std(1)
    assert ((deviations > 0.09) & (deviations < 0.21)).all()
    assert deviations.max() - deviations.min() > 0.01


def test_random_examples_can_be_repeated_and_are_moved(toys, make, sight):
    kinds = [None, "frozen", None, "noisy"]
    still, moved = make(), make(shift=3)
    first, again = (still.random(kinds, rng=toys.rng()) for _ in range(2))
    assert torch.equal(first.pictures, again.pictures)
    assert torch.equal(first.conditions.prefix, again.conditions.prefix)
    changed = moved.random(kinds, rng=toys.rng())
    assert torch.equal(changed.pictures, first.pictures) == (sight.input == "codes")


@pytest.mark.parametrize("count", [2, 3])
def test_examples_do_not_depend_on_the_ranks(toys, make, count):
    maker = make(shift=3, flip=True, noise=0.2)
    kinds = [None, "noisy", "noisy", "spliced", "noisy", None]

    def drawn(share=None):
        return maker.random(kinds, rng=toys.rng(), share=share)

    whole = drawn()
    for number in range(count):
        share = Group(number=number, count=count).share(6)
        part = drawn(share)
        # A batch of another size may round differently in the last bit.
        assert torch.allclose(part.pictures, whole.pictures[share.rows], atol=1e-5)
        assert torch.equal(part.conditions.prefix, whole.conditions.prefix[share.rows])
        assert torch.equal(part.real, whole.real[share.rows])
        assert torch.equal(part.pairs, whole.pairs[share.rows])


def test_a_moved_clip_moves_as_one(toys, make, sight):
    if sight.input == "codes":
        pytest.skip("codes are not moved")
    found = make(shift=3).random(["frozen"] * 8, rng=toys.rng())
    frozen = ~found.pairs[:, -1]
    assert frozen.all()
    assert torch.allclose(found.pictures[:, -1], found.pictures[:, -2])


def test_what_is_told_is_of_the_clip_itself(toys, make, batch):
    examples = make().corrupted(batch, ["spliced"] * 6, rng=toys.rng())
    words = [toys.VOCABULARY.encode(toys_condition(toys, s)) for s in batch.segments]
    assert examples.conditions.prefix[:, 3:].tolist() == [row[3:] for row in words]


def toys_condition(toys, segment):
    from cvg.conditions.condition import Condition

    return Condition(caption=segment.caption)


def test_a_critic_of_one_frame_learns_from_clips_of_five(make):
    assert make(frames=1).frames == SUCCESSIVE
    assert make(frames=3).frames == 3


def test_segments_that_are_too_short_are_refused(make):
    with pytest.raises(UserError, match="no held_out segment has 39 frames"):
        make(frames=20)
