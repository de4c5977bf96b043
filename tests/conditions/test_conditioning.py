"""What a model takes, what it refuses, and how rows become tensors."""

import numpy as np
import pytest
import torch

from cvg.conditions.condition import Condition
from cvg.conditions.conditioning import Conditioning
from cvg.conditions.vocabulary import Vocabulary


def test_actions_lead_to_the_frame_in_whose_row_they_stand(toys):
    """A user's row i leads from frame i to the next; what a frame is given is what led to it."""
    actions = np.arange(8, dtype=np.float32).reshape(4, 2)
    found = toys.CONDITIONING.gather([Condition(actions=actions)], frames=6).actions[0]
    assert found[0].isnan().all()
    assert found[1:5].tolist() == actions.tolist()
    assert found[5].isnan().all()


def test_rows_beyond_those_that_are_needed_are_left_out(toys):
    maps = np.random.default_rng(0).uniform(0, 1, (9, 8, 8)).astype(np.float32)
    found = toys.CONDITIONING.gather([Condition(map=maps), Condition()], frames=3).maps
    assert torch.equal(found[0], torch.from_numpy(maps[:3]))
    assert found[1].isnan().all()


def test_frames_of_conditions_are_cut_and_filled_up(toys):
    told = toys.gathered(toys.toy_conditions(4), 4)
    for count in (2, 4, 9):
        part = told.frames(count)
        assert part.actions.shape[1] == part.maps.shape[1] == count
        kept = min(count, 4)
        assert torch.equal(part.maps[:2, :kept], told.maps[:2, :kept])
        assert part.maps[:, kept:].isnan().all()
    assert torch.equal(told.frame(3).maps[:2], told.maps[:2, 3:4])
    assert told.frame(4).actions.isnan().all()


def test_a_model_says_what_it_takes(toys):
    assert toys.CONDITIONING.kinds == ("caption", "label", "fps", "motion", "actions", "map")
    assert Conditioning(vocabulary=Vocabulary()).kinds == ()


def refusals(conditioning, **asked):
    return list(conditioning.refusals(Condition(**asked)))


def test_what_it_knows_is_not_refused(toys):
    everything = toys.toy_conditions()[0]
    assert list(toys.CONDITIONING.refusals(everything)) == []
    assert refusals(toys.CONDITIONING, caption="a green unicorn") == []  # a warning elsewhere


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"label": "square"}, "label 'square': expected one of round"),
        ({"fps": 25.0}, "fps 25: trained on 5, 10 frames a second"),
        ({"fps": 0.0}, "fps 0: expected above 0"),
        ({"fps": -3.0}, "fps -3: expected above 0"),
        ({"motion": 4}, "motion 4: expected 1 (calm) to 3 (lively)"),
        ({"motion": 0}, "motion 0: expected 1 (calm) to 3 (lively)"),
        (
            {"actions": np.zeros((5, 3), np.float32)},
            "actions: 3 numbers a row; the model was trained with 2",
        ),
        (
            {"map": np.zeros((5, 4, 4), np.float32)},
            "map: 4 x 4 cells; the model was trained with 8 x 8",
        ),
    ],
)
def test_what_it_does_not_know_is_refused_by_name(toys, asked, sentence):
    assert refusals(toys.CONDITIONING, **asked) == [sentence]


@pytest.mark.parametrize("kind", ["caption", "label", "fps", "motion", "actions", "map"])
def test_a_kind_that_it_was_not_trained_with_is_refused(toys, kind):
    told = {kind: getattr(toys.toy_conditions()[0], kind)}
    model = Conditioning(vocabulary=Vocabulary(labels=("x",) if kind != "label" else ()))
    takes = "label" if kind != "label" else "no condition"
    assert refusals(model, **told) == [f"{kind}: the model was trained without; it takes {takes}"]


def test_many_labels_are_not_all_listed():
    model = Conditioning(vocabulary=Vocabulary(labels=tuple(f"k{i:02}" for i in range(20))))
    (sentence,) = refusals(model, label="other")
    assert sentence.endswith("k10, k11, and 8 more")


def test_unknown_words_come_with_those_that_look_alike(toys):
    assert toys.CONDITIONING.unknown_words("a bleu dusc") == {"bleu": ["blue"], "dusc": ["disc"]}
    assert toys.CONDITIONING.unknown_words("red zebra") == {"zebra": []}
