"""Videos that a user asks for: modes, refusals, and what is given stays as it was given."""

import numpy as np
import pytest
import torch

from cvg.conditions.condition import Condition
from cvg.errors import UserError
from cvg.sampling.decode import CHUNK
from cvg.sampling.generator import Generator, Request
from cvg.sampling.models import Models

SIZE = 16


@pytest.fixture(scope="module")
def pictures(toys):
    frames = (toys.toy_frames(12) + 1) * 127.5
    return frames.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


@pytest.fixture
def generator(toys, transformers, settings):
    models = Models(vqgan=toys.toy_vqgan(), vqgan_hash="toy", transformers=transformers)
    return Generator(models, settings)


def test_five_lines_make_a_video(generator):
    video = generator.sample(caption="a red disc", frames=9)
    assert video.shape == (9, SIZE, SIZE, 3)
    assert video.dtype == np.uint8


def test_what_is_given_stays_and_the_rest_is_written(generator, pictures):
    video = generator.sample(first=pictures[:3], last=pictures[5], frames=8)
    assert video.shape == (8, SIZE, SIZE, 3)
    assert np.array_equal(video[:3], pictures[:3])
    assert np.array_equal(video[-1], pictures[5])


@pytest.mark.parametrize("frames", [CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 2])
@pytest.mark.parametrize("ends", [False, True])
def test_any_number_of_frames_comes_whole_and_in_chunks(generator, pictures, frames, ends):
    request = Request(frames=frames, first=pictures[:1], last=pictures[1] if ends else None)
    chunks = list(generator.stream([request, request], names=["a", "b"]))
    assert sum(chunk.shape[1] for chunk in chunks) == frames
    assert all(chunk.shape[1] <= CHUNK for chunk in chunks)
    assert {len(chunk) for chunk in chunks} == {2}


def test_the_goal_changes_the_frames_before_it(generator, pictures):
    one, two = (
        generator.sample(first=pictures[:1], last=pictures[end], frames=30) for end in (3, 7)
    )
    assert not np.array_equal(one[1:-1], two[1:-1])


@pytest.mark.parametrize(
    "asked",
    [
        {"caption": "blue"},
        {"label": "round"},
        {"fps": 5.0},
        {"motion": 3},
        {"actions": np.ones((8, 2), np.float32)},
        {"map": np.ones((8, 8, 8), np.float32)},
    ],
    ids=lambda asked: next(iter(asked)),
)
def test_every_kind_of_condition_changes_the_video(generator, asked):
    assert not np.array_equal(generator.sample(frames=8), generator.sample(frames=8, **asked))


def test_guidance_can_be_asked_for_one_video(generator):
    plain = generator.sample(frames=6, caption="blue")
    assert not np.array_equal(
        plain, generator.sample(frames=6, caption="blue", guidance={"caption": 20.0})
    )
    assert np.array_equal(plain, generator.sample(frames=6, caption="blue"))


def test_a_sentence_may_give_way_to_another(generator):
    red, blue = Condition(caption="red"), Condition(caption="blue disc", label="round", motion=3)

    def write(changes):
        request = Request(frames=8, condition=red, changes=changes)
        return np.concatenate(list(generator.stream([request])), axis=1)[0]

    plain, changed = write(None), write({4: blue})
    assert np.array_equal(plain[:4], changed[:4])
    assert not np.array_equal(plain[4:], changed[4:])


def test_videos_whose_sentences_change_at_different_frames_may_be_written_together(generator):
    red, blue = Condition(caption="red"), Condition(caption="blue")
    requests = [
        Request(frames=8, condition=red, changes={4: blue}),
        Request(frames=8, condition=red, changes={2: blue, 6: red}),
    ]
    together = np.concatenate(list(generator.stream(requests, names=["a", "b"])), axis=1)
    for number, name in enumerate("ab"):
        alone = generator.stream([requests[number]], names=[name])
        assert np.array_equal(np.concatenate(list(alone), axis=1)[0], together[number])


def test_another_seed_gives_another_video_and_the_same_one_the_same(generator):
    one, again, other = (generator.sample(frames=6, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def refused(generator, **asked):
    with pytest.raises(UserError) as error:
        generator.sample(**asked)
    head, *lines = str(error.value).splitlines()
    assert head == "this video cannot be made:"
    return [line.strip() for line in lines]


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"frames": 0}, "length is 0 frames; expected 1 or more"),
        ({"frames": 4, "label": "square"}, "label 'square': expected one of round"),
        ({"frames": 4, "fps": 99.0}, "fps 99: trained on 5, 10 frames a second"),
        (
            {"frames": 9, "actions": np.zeros((7, 2), np.float32)},
            "actions: 7 rows; 9 frames need 8 at least",
        ),
        (
            {"frames": 9, "actions": np.zeros((9, 5), np.float32)},
            "actions: 5 numbers a row; the model was trained with 2",
        ),
        (
            {"frames": 9, "map": np.zeros((8, 8, 8), np.float32)},
            "map: 8 rows; 9 frames need 9 at least",
        ),
        (
            {"frames": 9, "map": np.zeros((9, 4, 4), np.float32)},
            "map: 4 x 4 cells; the model was trained with 8 x 8",
        ),
        (
            {"frames": 3, "first": np.zeros((3, SIZE, SIZE, 3), np.uint8)},
            "length is 3 frames, and 3 are given; expected more than are given",
        ),
        (
            {
                "frames": 2,
                "first": np.zeros((1, SIZE, SIZE, 3), np.uint8),
                "last": np.zeros((SIZE, SIZE, 3), np.uint8),
            },
            "length is 2 frames, and 2 are given; expected more than are given",
        ),
        (
            {"frames": 9, "first": np.zeros((1, 20, 24, 3), np.uint8)},
            "first has frames of 24 x 20 pixels; the models write 16 x 16",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(generator, asked, reason):
    assert refused(generator, **asked) == [reason]


def test_all_reasons_are_told_at_once(generator):
    assert len(refused(generator, frames=0, label="x", fps=99.0)) == 3


def test_changes_outside_of_the_video_are_refused(generator):
    request = Request(frames=4, changes={4: Condition(caption="red")})
    with pytest.raises(UserError, match="a condition changes at frame 4; expected 1 to 3"):
        generator.check([request])


def test_changes_within_what_is_given_are_refused(generator, pictures):
    request = Request(frames=9, first=pictures[:4], changes={3: Condition(caption="red")})
    with pytest.raises(UserError, match="a condition changes at frame 3; expected 4 to 8"):
        generator.check([request])


@pytest.mark.parametrize("rows", [5, 6, 9])
def test_the_last_action_leads_to_the_last_frame(generator, rows):
    """Also where there is none beyond it."""
    actions = np.zeros((rows, 2), np.float32)
    other = actions.copy()
    other[4] = 50
    one, two = (generator.sample(frames=6, actions=values) for values in (actions, other))
    assert np.array_equal(one[:5], two[:5])
    assert not np.array_equal(one[5], two[5])


@pytest.mark.parametrize("guidance", [{"captions": 2.0}, {"caption": -1.0}])
def test_guidance_that_means_nothing_is_refused(generator, guidance):
    with pytest.raises(UserError, match="expected 0 or more, for a kind that the models take"):
        generator.sample(frames=4, guidance=guidance)


def test_videos_of_different_lengths_are_not_written_at_once(generator):
    with pytest.raises(UserError, match="must have as many frames"):
        generator.check([Request(frames=4), Request(frames=5)])


def test_maps_are_made_small(generator):
    found = generator.small_map(np.full((3, SIZE, SIZE), 51, np.uint8))
    assert found.shape == (3, 8, 8)
    assert found == pytest.approx(0.2)
    with pytest.raises(UserError, match="map has pictures of 8 x 8 pixels; expected 16 x 16"):
        generator.small_map(np.zeros((3, 8, 8), np.uint8))
