"""Conditions as numbers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvg.conditions.condition import Condition
from cvg.conditions.vocabulary import (
    CAPTION_PLACE,
    NO_CAPTION,
    NO_LABEL,
    NO_MOTION,
    NO_RATE,
    NUM_SPECIAL,
    PADDING,
    SENTENCE,
    Vocabulary,
    collect_rates,
    collect_words,
)

CAPTIONS = ["A red square", None, "a blue disc, moving!", "", "red Red RED"]


def make(captions=CAPTIONS, units="words", length=4):
    return Vocabulary(
        words=collect_words(captions, units=units, length=length),
        labels=("cat", "dog"),
        rates=(10.0, 24.0),
        motion_edges=(1.0, 4.0),
        caption_units=units,
        caption_length=length,
    )


def caption_of(vocabulary, caption):
    return vocabulary.encode(Condition(caption=caption))[CAPTION_PLACE:]


def test_words_are_collected_once_each():
    assert make().words == ("a", "blue", "disc", "moving", "red", "square")
    assert make().size == NUM_SPECIAL + 6 + 2 + 2 + 3


@settings(deadline=None)
@given(st.permutations(CAPTIONS))
def test_the_order_of_videos_does_not_matter(captions):
    assert make(captions) == make()


def test_words_that_are_never_read_are_not_known():
    vocabulary = make(["one two three four five six"])
    assert vocabulary.words == ("four", "one", "three", "two")
    assert vocabulary.unknown_words("Two seven") == ["seven"]


def test_words_behind_those_that_are_read_are_not_missed():
    assert make().unknown_words("a red red red unicorn") == []


def test_every_value_has_a_number_of_its_own():
    vocabulary = make()
    told = [Condition(label=label) for label in vocabulary.labels]
    told += [Condition(fps=rate) for rate in vocabulary.rates]
    told += [Condition(motion=bucket) for bucket in (1, 2, 3)]
    numbers = [caption_of(vocabulary, word)[0] for word in vocabulary.words]
    for condition in told:
        (number,) = set(vocabulary.encode(condition)) - set(vocabulary.encode(Condition()))
        numbers.append(number)
    assert sorted(numbers) == list(range(NUM_SPECIAL, vocabulary.size))


def test_words_never_seen_are_left_out():
    vocabulary = make()
    assert caption_of(vocabulary, "a green square") == caption_of(vocabulary, "a square")
    assert caption_of(vocabulary, "green") == caption_of(vocabulary, None)
    assert vocabulary.encode(Condition(label="horse")) == vocabulary.encode(Condition())


def test_short_captions_are_padded_and_long_ones_cut():
    vocabulary = make()
    short, long = caption_of(vocabulary, "red"), caption_of(vocabulary, "red " * 9)
    assert short == [short[0], PADDING, PADDING, PADDING]
    assert long == [short[0]] * 4


@pytest.mark.parametrize("caption", [None, "", " ?! "])
@pytest.mark.parametrize("label", [None, ""])
def test_the_null_condition_is_that_of_a_row_without_anything(caption, label):
    null = [NO_LABEL, NO_RATE, NO_MOTION, NO_CAPTION, PADDING, PADDING, PADDING]
    assert make().encode(Condition(caption=caption, label=label)) == null


@settings(deadline=None)
@given(
    caption=st.none() | st.text(),
    label=st.none() | st.text(),
    fps=st.none() | st.floats(1e-3, 1e4),
    motion=st.none() | st.integers(-3, 9),
    length=st.integers(0, 5),
    units=st.sampled_from(["words", "characters", "sentences"]),
)
def test_every_condition_fits_the_tables(caption, label, fps, motion, length, units):
    vocabulary = make(units=units, length=length)
    numbers = vocabulary.encode(Condition(caption=caption, label=label, fps=fps, motion=motion))
    assert len(numbers) == vocabulary.length
    assert all(0 <= number < vocabulary.size for number in numbers)
    assert PADDING not in numbers[: CAPTION_PLACE + 1]


def test_no_words_of_captions_may_be_read_at_all():
    vocabulary = make(length=0)
    assert caption_of(vocabulary, "a red square") == [NO_CAPTION]
    assert vocabulary.words == ()


def test_characters_may_be_read_instead_of_words():
    vocabulary = make(["ab", "ba c"], units="characters")
    assert vocabulary.words == (" ", "a", "b", "c")
    first, second = (caption_of(vocabulary, text) for text in ("ab", "BA"))
    assert first[:2] == second[1::-1]


def test_sentences_have_one_place_whatever_they_say():
    vocabulary = make(units="sentences")
    assert vocabulary.words == ()
    assert caption_of(vocabulary, "anything")[0] == SENTENCE
    assert caption_of(vocabulary, None)[0] == NO_CAPTION
    assert vocabulary.unknown_words("anything") == []


def test_frame_rates_that_nobody_can_tell_apart_are_one():
    assert collect_rates([29.97, 30.0, 23.976, 24.0, 12.0]) == (12.0, 23.976, 29.97)
    vocabulary = make()
    assert vocabulary.rate_near(23.976) == 24.0
    assert vocabulary.rate_near(25.0) is None
    assert Vocabulary().rate_near(25.0) is None


def test_motion_falls_into_buckets_by_its_edges():
    found = [make().bucket_of(change) for change in (0.0, 0.99, 1.0, 3.9, 4.0, 99.0)]
    assert found == [1, 1, 2, 2, 3, 3]
    assert make().bucket_of(float("nan")) is None
    assert Vocabulary().bucket_of(3.0) is None
