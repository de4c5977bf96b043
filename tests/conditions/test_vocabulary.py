"""Conditions as numbers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cvg.conditions.vocabulary import NO_CAPTION, NO_LABEL, PADDING, UNKNOWN, Vocabulary

CAPTIONS = ["A red square", None, "a blue disc, moving!", "", "red Red RED"]
LABELS = ["dog", None, "cat", "", "dog"]


def collect(captions=CAPTIONS, labels=LABELS, caption_words=4):
    return Vocabulary.collect(captions, labels, caption_words=caption_words)


def test_words_and_labels_are_collected_once_each():
    vocabulary = collect()
    assert vocabulary.words == ("a", "blue", "disc", "moving", "red", "square")
    assert vocabulary.labels == ("cat", "dog")
    assert vocabulary.size == 4 + 6 + 2


@settings(deadline=None)
@given(st.permutations(list(zip(CAPTIONS, LABELS, strict=True))))
def test_the_order_of_videos_does_not_matter(pairs):
    captions, labels = zip(*pairs, strict=True)
    assert collect(captions, labels) == collect()


def test_words_that_are_never_read_are_not_known():
    vocabulary = collect(["one two three four five six"], [None])
    assert vocabulary.words == ("four", "one", "three", "two")
    assert vocabulary.unknown_words("Two five") == ["five"]


def test_every_word_and_label_has_a_number_of_its_own():
    vocabulary = collect()
    numbers = [vocabulary.encode(word, None)[1] for word in vocabulary.words]
    numbers += [vocabulary.encode(None, label)[0] for label in vocabulary.labels]
    assert sorted(numbers) == list(range(4, vocabulary.size))


def test_what_was_never_seen_is_unknown():
    vocabulary = collect()
    assert vocabulary.encode("a green square", "horse")[:3] == [
        UNKNOWN,
        vocabulary.encode("a", None)[1],
        UNKNOWN,
    ]
    assert vocabulary.unknown_words("A green, red one") == ["green", "one"]


def test_short_captions_are_padded_and_long_ones_cut():
    vocabulary = collect()
    short, long = vocabulary.encode("red", None), vocabulary.encode("red " * 9, None)
    red = short[1]
    assert short == [NO_LABEL, red, PADDING, PADDING, PADDING]
    assert long == [NO_LABEL, red, red, red, red]


@pytest.mark.parametrize("caption", [None, "", " ?! "])
@pytest.mark.parametrize("label", [None, ""])
def test_the_null_condition_is_that_of_a_row_without_caption_and_label(caption, label):
    vocabulary = collect()
    null = vocabulary.null(3)
    assert null.tolist() == [vocabulary.encode(caption, label)] * 3
    assert null[0].tolist() == [NO_LABEL, NO_CAPTION, PADDING, PADDING, PADDING]


@settings(deadline=None)
@given(caption=st.none() | st.text(), label=st.none() | st.text(), words=st.integers(0, 5))
def test_every_condition_fits_the_tables_and_is_never_all_padding(caption, label, words):
    vocabulary = collect(caption_words=words)
    numbers = vocabulary.encode(caption, label)
    assert len(numbers) == vocabulary.length
    assert all(0 <= number < vocabulary.size for number in numbers)
    assert numbers[0] != PADDING
    assert numbers[1] != PADDING


def test_no_words_of_captions_may_be_read_at_all():
    vocabulary = collect(caption_words=0)
    assert vocabulary.encode("a red square", "dog") == vocabulary.encode(None, "dog")
    assert vocabulary.words == ()


def test_several_conditions_are_rows():
    vocabulary = collect()
    rows = vocabulary.encode_all([("red", "dog"), (None, None)])
    assert rows.dtype == torch.int64
    assert rows.tolist() == [vocabulary.encode("red", "dog"), vocabulary.encode(None, None)]
