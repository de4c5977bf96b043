"""From models on disk to sampled clips."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from cvg.errors import UserError
from cvg.frames.samples import true_clips
from cvg.sampling.models import open_codes
from cvg.sampling.sample import Sampler, held_out_windows
from cvg.transformer.store import save_transformer
from cvg.vqgan.store import load_vqgan, save_vqgan


@pytest.fixture
def sample(folders, load, settings, toys):
    """Sample the held-out clips, with changes."""
    root, store = folders
    models = load()

    def make(*, seed=0, **changes):
        codes = open_codes(root / "codes", models)
        changed = settings.model_copy(update=changes)
        sampler = Sampler(models, codes, store, changed, seed=seed, hashes={})
        with TemporaryDirectory() as scratch:
            return sampler.join(toys.made(sampler, Path(scratch)))

    return make


def test_samples_begin_with_the_real_frames_and_go_on_with_others(folders, sample):
    _, store = folders
    samples = sample()
    truth = true_clips(store, samples)
    assert samples.frames.shape == truth.shape == (5, 7, 16, 16, 3)
    assert np.array_equal(samples.frames[:, :2], truth[:, :2])
    for frame in range(2, 7):
        assert not np.array_equal(samples.frames[:, frame], truth[:, frame])
    assert {clip.video for clip in samples.clips} == {"1.mp4", "3.mp4"}
    assert len({clip.name for clip in samples.clips}) == 5


def test_with_a_goal_they_end_with_the_real_frame_too(folders, sample):
    _, store = folders
    samples = sample(goal=True)
    truth = true_clips(store, samples)
    for frame in range(7):
        given = frame in (0, 1, 6)
        assert np.array_equal(samples.frames[:, frame], truth[:, frame]) == given
    assert samples.goal


def test_without_context_all_frames_are_made(folders, sample):
    _, store = folders
    samples = sample(context_frames=0)
    assert not np.array_equal(samples.frames[:, 0], true_clips(store, samples)[:, 0])


def test_only_the_conditions_that_are_asked_are_told(sample):
    told, unconditional = sample(), sample(conditions=[])
    assert not np.array_equal(told.frames, unconditional.frames)


def test_the_same_clips_are_written_once_more_told_nothing(sample):
    samples, unconditional = sample(unconditional=True), sample(conditions=[])
    assert np.array_equal(samples.unconditional, unconditional.frames)
    assert not np.array_equal(samples.unconditional, samples.frames)
    assert unconditional.unconditional is None
    assert sample(unconditional=False).unconditional is None


def test_the_batch_size_changes_no_pixel(sample, monkeypatch):
    from cvg.sampling import sample as module

    frames = []
    for size in (1, 2, 32):
        monkeypatch.setattr(module, "VIDEOS_AT_ONCE", size)
        frames.append(sample().frames)
    assert np.array_equal(frames[0], frames[1])
    assert np.array_equal(frames[0], frames[2])


def test_another_seed_gives_other_samples(sample):
    one, two = (sample(seed=seed).frames for seed in (0, 1))
    assert np.array_equal(one[:, :2], two[:, :2])
    assert not np.array_equal(one[:, 2:], two[:, 2:])


def test_models_of_different_vqgans_are_refused(load, toys, tmp_path):
    save_vqgan(tmp_path, toys.toy_vqgan(seed=1))
    with pytest.raises(UserError, match=r"top: made with VQGAN .* run the stages after"):
        load(vqgan=tmp_path)


def test_codes_of_another_vqgan_are_refused(load, toys, tmp_path):
    toys.write_codes(tmp_path / "codes", vqgan_hash="other")
    with pytest.raises(UserError, match=r"codes: made with VQGAN other"):
        open_codes(tmp_path / "codes", load())


def test_a_transformer_of_another_vqgan_is_refused(load, transformers, tmp_path):
    for level, trained in transformers.items():
        (tmp_path / level).mkdir()
        save_transformer(tmp_path / level, trained)
    with pytest.raises(UserError, match=r"top: made with VQGAN toy"):
        load(transformers=tmp_path)


@pytest.mark.parametrize("differs", ["words", "order"])
def test_levels_that_were_trained_unlike_are_refused(
    folders, load, transformers, toys, tmp_path, differs
):
    root, _ = folders
    vqgan_hash = load_vqgan(root / "vqgan")[1]
    for level, trained in transformers.items():
        (tmp_path / level).mkdir()
        changed = replace(trained, vqgan_hash=vqgan_hash)
        if level == "bottom" and differs == "order":
            model = toys.toy_transformer(trained.model.layout, order="parallel")
            changed = replace(changed, model=model)
        if level == "bottom" and differs == "words":
            words = replace(trained.conditioning.vocabulary, labels=("square",))
            changed = replace(changed, conditioning=replace(trained.conditioning, vocabulary=words))
        save_transformer(tmp_path / level, changed)
    with pytest.raises(UserError, match="the transformers of top and bottom were trained on other"):
        load(transformers=tmp_path)


def test_too_long_a_sample_says_how_long_the_longest_part_is(folders, load):
    root, _ = folders
    with pytest.raises(UserError, match=r"sample\.frames = 15 frames, the longest has 14"):
        held_out_windows(open_codes(root / "codes", load()), frames=15, count=4)
