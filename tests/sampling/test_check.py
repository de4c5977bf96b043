"""What is measured of transformers: by hand, and on toys."""

import math

import numpy as np
import pytest
import torch

from cvg.conditions.condition import KINDS
from cvg.sampling import check
from cvg.sampling.check import Likelihoods, score_codes, write_long
from cvg.sampling.models import open_codes
from cvg.transformer.conditioning import known_conditions

CLIPS, FRAMES, CONTEXT, LONG = 3, 6, 2, 24


@pytest.fixture
def models(load):
    return load()


@pytest.fixture
def codes(folders, models):
    return open_codes(folders[0] / "codes", models)


@pytest.fixture
def params(toys):
    return toys.toy_params().check_transformers.model_copy(
        update={
            "clips": CLIPS,
            "frames": FRAMES,
            "context_frames": CONTEXT,
            "drift_videos": 2,
            "drift_frames": LONG,
        }
    )


def test_bits_a_pixel_by_hand():
    nats = {"top": torch.full((2, 3), math.log(2)), "bottom": torch.full((2, 3), math.log(4))}
    found = Likelihoods(nll={"all": nats}, codes={"top": 4, "bottom": 16}, pixels=64)
    assert found.figures()["all"] == pytest.approx(
        {"top": math.log(2), "bottom": math.log(4), "bits_per_pixel": (4 * 1 + 16 * 2) / 64}
    )
    rows = list(found.by_frame(context_frames=5))
    assert [row["frame"] for row in rows] == [6, 7, 8]
    assert all(row["all"] == pytest.approx(36 / 64) for row in rows)


def test_each_frame_after_the_context_is_scored(models, codes, params, monkeypatch):
    found = score_codes(models, codes, params, kinds=KINDS, seed=0)
    monkeypatch.setattr(check, "CLIPS_AT_ONCE", 2)
    in_parts = score_codes(models, codes, params, kinds=KINDS, seed=0)
    for level, values in found.nll["all"].items():
        assert values.shape == (CLIPS, FRAMES - CONTEXT)
        torch.testing.assert_close(in_parts.nll["all"][level], values)


def test_only_the_kinds_that_are_told_are_known(models, codes, params):
    told, untold = (
        score_codes(models, codes, params, kinds=kinds, seed=0).nll["all"]["top"]
        for kinds in (KINDS, ())
    )
    assert not torch.allclose(told, untold)


def test_long_videos_begin_with_the_real_context(folders, models, codes, params, settings):
    _, store = folders
    found = write_long(models, codes, store, params, settings, seed=0)
    lengths = sorted((s.num_frames for s in store.segments("held_out")), reverse=True)
    assert [len(clip) for clip in found.real] == [min(n, LONG) for n in lengths[:2]]
    assert found.videos.shape[:2] == (2, LONG)
    for video, clip in zip(found.videos, found.real, strict=True):
        assert np.array_equal(video[:CONTEXT], clip[:CONTEXT])
        assert not np.array_equal(video[CONTEXT], clip[CONTEXT])


def test_long_videos_are_not_told_what_ends_with_the_real_ones(
    folders, models, codes, params, settings, monkeypatch
):
    told = []

    def note(batch, vocabulary, *, kinds):
        told.append(list(kinds))
        return known_conditions(batch, vocabulary, kinds=kinds)

    monkeypatch.setattr(check, "known_conditions", note)
    changed = settings.model_copy(update={"conditions": ["fps", "actions", "map", "caption"]})
    write_long(models, codes, folders[1], params, changed, seed=0)
    assert told == [["fps", "caption"]]
