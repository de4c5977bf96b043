"""From models on disk to sampled clips."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cvg.errors import UserError
from cvg.frames.samples import true_clips
from cvg.sampling import sample
from cvg.sampling.models import load_models
from cvg.sampling.sample import held_out_windows, sample_clips
from cvg.transformer.store import save_transformer
from cvg.vqgan.store import load_vqgan, save_vqgan
from cvg.vqgan.tokenize import tokenize

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folders(toys, transformers, tmp_path_factory):
    """Frames, the VQGAN, its codes, and transformers of random weights."""
    root = tmp_path_factory.mktemp("models")
    store = toys.write_frames(root / "frames")
    for name in ("vqgan", "codes", "transformers/top", "transformers/bottom"):
        (root / name).mkdir(parents=True)
    save_vqgan(root / "vqgan", toys.toy_vqgan())
    vqgan, vqgan_hash = load_vqgan(root / "vqgan")
    tokenize(store, vqgan, vqgan_hash=vqgan_hash, folder=root / "codes", batch_size=16, device=CPU)
    for level, trained in transformers.items():
        folder = root / "transformers" / level
        save_transformer(folder, replace(trained, vqgan_hash=vqgan_hash))
    return root, store


def load(root, **changes):
    folders = {name: root / name for name in ("codes", "vqgan", "transformers")} | changes
    return load_models(**folders, device=CPU)


def test_samples_begin_with_the_real_frames_and_go_on_with_others(folders, settings):
    root, store = folders
    samples = sample_clips(load(root), store, settings, seed=0, device=CPU)
    truth = true_clips(store, samples)
    assert samples.frames.shape == truth.shape == (5, 7, 16, 16, 3)
    assert np.array_equal(samples.frames[:, :2], truth[:, :2])
    for frame in range(2, 7):
        assert not np.array_equal(samples.frames[:, frame], truth[:, frame])
    assert {clip.video for clip in samples.clips} == {"1.mp4", "3.mp4"}
    assert len({clip.name for clip in samples.clips}) == 5


def test_the_batch_size_changes_no_pixel(folders, settings, monkeypatch):
    root, store = folders
    models = load(root)
    samples = []
    for size in (1, 2, 32):
        monkeypatch.setattr(sample, "VIDEOS_AT_ONCE", size)
        samples.append(sample_clips(models, store, settings, seed=0, device=CPU).frames)
    assert np.array_equal(samples[0], samples[1])
    assert np.array_equal(samples[0], samples[2])


def test_another_seed_gives_other_samples(folders, settings):
    root, store = folders
    models = load(root)
    one, two = (sample_clips(models, store, settings, seed=s, device=CPU).frames for s in (0, 1))
    assert np.array_equal(one[:, :2], two[:, :2])
    assert not np.array_equal(one[:, 2:], two[:, 2:])


def test_models_of_different_vqgans_are_refused(folders, toys, tmp_path):
    root, _ = folders
    save_vqgan(tmp_path, toys.toy_vqgan(seed=1))
    with pytest.raises(UserError, match=r"codes: made with VQGAN .* run the stages after"):
        load(root, vqgan=tmp_path)


def test_a_transformer_of_another_vqgan_is_refused(folders, transformers, tmp_path):
    root, _ = folders
    for level, trained in transformers.items():
        (tmp_path / level).mkdir()
        save_transformer(tmp_path / level, trained)
    with pytest.raises(UserError, match=r"top: made with VQGAN toy"):
        load(root, transformers=tmp_path)


def test_too_long_a_sample_says_how_long_the_longest_part_is(folders):
    root, _ = folders
    with pytest.raises(UserError, match=r"sample\.frames = 15 frames, the longest has 14"):
        held_out_windows(load(root).codes, frames=15, count=4)
