"""Captions through the pretrained encoder."""

import sys

import pytest
import torch

from cvg.conditions import sentences
from cvg.conditions.condition import Condition
from cvg.conditions.conditioning import Conditioning
from cvg.conditions.dropout import without
from cvg.conditions.vocabulary import Vocabulary
from cvg.errors import UserError


def test_sentences_that_mean_the_same_lie_together():
    one, same, other = sentences.encode_sentences(
        ["a red circle moves up", "a crimson disc moves up", "the cat sleeps"]
    )
    assert one.norm().item() == pytest.approx(1, abs=1e-5)
    assert one @ same > one @ other + 0.2


def test_no_caption_is_a_vector_of_zeros():
    assert not sentences.encode_sentences([None, ""]).any()


def test_a_model_of_sentences_takes_captions_it_never_saw():
    words = Vocabulary(caption_units="sentences", caption_length=1)
    conditioning = Conditioning(vocabulary=words)
    assert conditioning.kinds == ("caption",)
    told = conditioning.gather([Condition(caption="a purple fox"), Condition()], frames=2)
    assert told.sentences.shape == (2, conditioning.sentence_width)
    assert told.sentences[0].any()
    dropped = without(told, ["caption"])
    assert torch.equal(dropped.prefix[0], told.prefix[1])
    assert not dropped.sentences.any()


def test_without_the_extra_it_says_how_to_get_it(monkeypatch):
    sentences._encoder.cache_clear()
    sentences._encode.cache_clear()
    monkeypatch.setitem(sys.modules, "wordllama", None)
    with pytest.raises(UserError, match=r"pip install 'cvg\[sentences\]'"):
        sentences.encode_sentences(["a caption of which nothing is kept"])
    sentences._encoder.cache_clear()
