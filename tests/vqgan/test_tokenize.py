"""Codes of a whole store: those of its frames, at their places; interrupted or not."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cvg.codes.store import CodeStore
from cvg.codes.use import code_use
from cvg.errors import UserError
from cvg.frames.store import FrameStore
from cvg.frames.writer import FrameWriter
from cvg.vqgan.reconstruct import reconstruct
from cvg.vqgan.tokenize import Tokenizer, code_grids

CPU = torch.device("cpu")
SHARD = 10  # frames
LEVELS = [("bottom",), ("top", "bottom"), ("top", "middle", "bottom")]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr("cvg.vqgan.tokenize.SHARD_FRAMES", SHARD)


@pytest.fixture(scope="module")
def store(toys, tmp_path_factory):
    return toys.write_frames(tmp_path_factory.mktemp("tokenize") / "frames")


@pytest.fixture
def run(toys):
    def tokenize(store, vqgan, folder, batch_size):
        folder.mkdir()
        figures = toys.tokenized(store, vqgan, folder, vqgan_hash="toy", batch_size=batch_size)
        return CodeStore.open(folder), figures

    return tokenize


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def expect_codes_of_frames(codes, store, vqgan):
    for split in ("train", "held_out"):
        assert codes.segments(split) == store.segments(split)
        for segment in store.segments(split):
            frames = store.window(segment, 1, segment.num_frames - 1)
            expected = reconstruct(vqgan, frames, device=CPU).codes
            found = codes.window(segment, 1, segment.num_frames - 1)
            assert list(found) == [*vqgan.shape.levels, "motion"]
            for level in vqgan.shape.levels:
                assert np.array_equal(found[level], expected[level])
            steps = np.abs(np.diff(frames.astype(float), axis=0)).mean((1, 2, 3))
            assert found["motion"][1:] == pytest.approx(steps, rel=1e-6)


@pytest.mark.parametrize("levels", LEVELS)
def test_every_window_holds_the_codes_of_its_frames(toys, store, tmp_path, levels, run):
    vqgan = toys.toy_vqgan(levels=levels)
    codes, _ = run(store, vqgan, tmp_path / "codes", 5)
    expect_codes_of_frames(codes, store, vqgan)


def test_use_is_counted_over_all_frames(toys, store, vqgan, tmp_path, run):
    codes, figures = run(store, vqgan, tmp_path / "codes", 5)
    segments = [*codes.segments("train"), *codes.segments("held_out")]
    for level in ("top", "bottom"):
        windows = [codes.window(s, 0, s.num_frames)[level].ravel() for s in segments]
        use = code_use(torch.from_numpy(np.bincount(np.concatenate(windows), minlength=12)))
        assert 0 < use.usage <= 1
        assert figures[f"{level}.usage"] == pytest.approx(use.usage)
        assert figures[f"{level}.perplexity"] == pytest.approx(use.perplexity)


def test_the_batch_size_changes_no_byte(store, vqgan, tmp_path, run):
    for size in (1, 5, 64):
        run(store, vqgan, tmp_path / f"{size}", size)
    one = contents(tmp_path / "1")
    assert contents(tmp_path / "5") == one
    assert contents(tmp_path / "64") == one


@pytest.mark.parametrize("levels", LEVELS)
def test_codebooks_grids_and_hash_travel_with_the_codes(toys, store, tmp_path, levels, run):
    vqgan = toys.toy_vqgan(levels=levels)
    codes, _ = run(store, vqgan, tmp_path / "codes", 64)
    assert codes.vqgan_hash == "toy"
    assert codes.grids == code_grids(vqgan.shape)
    encoded = vqgan.encode(toys.toy_frames(1))
    for grid in codes.grids:
        assert encoded[grid.level].shape == (1, grid.rows, grid.columns)
    books = codes.codebooks()
    assert set(books) == set(levels)
    for level, vectors in vqgan.codebooks().items():
        assert np.array_equal(books[level], vectors.numpy())


class Watched:
    """Stands before a VQGAN's encoder: notes how many frames it is given."""

    def __init__(self, vqgan):
        self.vqgan = vqgan
        self.seen = []
        self._encode = vqgan.encode
        vqgan.encode = self

    def __call__(self, frames):
        self.seen.append(len(frames))
        return self._encode(frames)


def test_batches_are_full_whatever_the_length_of_the_videos(store, toys, tmp_path, run):
    watched = Watched(toys.toy_vqgan())
    run(store, watched.vqgan, tmp_path / "codes", 5)
    assert watched.seen == [5, 5] * 4 + [2]  # of 42 frames


@pytest.mark.parametrize(("parts", "largest"), [(1, 10), (6, 8), (128, 4)])
def test_the_number_of_parts_changes_no_batch_and_no_byte(
    store, toys, tmp_path, monkeypatch, run, parts, largest
):
    run(store, toys.toy_vqgan(), tmp_path / "whole", 4)
    monkeypatch.setattr("cvg.vqgan.tokenize.PARTS", parts)
    watched = Watched(toys.toy_vqgan())
    run(store, watched.vqgan, tmp_path / "codes", 4)
    assert watched.seen == [4, 4, 2] * 4 + [2]
    assert contents(tmp_path / "codes") == contents(tmp_path / "whole")
    tokenizer = Tokenizer(store, toys.toy_vqgan(), vqgan_hash="toy", batch_size=4, device=CPU)
    assert sum(tokenizer.sizes) == 42
    assert max(tokenizer.sizes) == largest


def write_store(toys, folder, segments, *, seed=5, count=42):
    folder.mkdir()
    units = toys.toy_frames(count, seed=seed)
    frames = ((units + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    size = toys.SIZE
    with FrameWriter(folder, height=size, width=size, shard_bytes=10**6) as writer:
        writer.append(frames)
        for segment in segments:
            writer.add(segment)
    return FrameStore.open(folder)


def test_frames_between_and_in_two_segments_keep_their_numbers(toys, vqgan, tmp_path, run):
    one, two, three, _ = toys.segments()
    segments = [
        replace(one, first_frame=25, num_frames=12),
        replace(two, first_frame=3, num_frames=9),
        replace(three, first_frame=30, num_frames=6),
    ]
    store = write_store(toys, tmp_path / "frames", segments)
    codes, _ = run(store, vqgan, tmp_path / "codes", 5)
    for segment in segments:
        frames = store.window(segment, 0, segment.num_frames)
        expected = reconstruct(vqgan, frames, device=CPU).codes
        found = codes.window(segment, 0, segment.num_frames)
        for level, grids in expected.items():
            assert np.array_equal(found[level], grids)


def test_a_store_without_frames_is_refused(toys, vqgan, tmp_path, run):
    store = write_store(toys, tmp_path / "frames", [])
    with pytest.raises(UserError, match="frames: holds no frames; add videos"):
        run(store, vqgan, tmp_path / "codes", 5)


def test_codes_are_made_in_float32_within_autocast_too(store, toys, tmp_path, run):
    run(store, toys.toy_vqgan(), tmp_path / "plain", 5)
    vqgan = toys.toy_vqgan()
    settings = []

    def watch(encoder, inputs):
        assert inputs[0].dtype == torch.float32
        settings.append((torch.is_autocast_enabled("cpu"), torch.backends.cudnn.allow_tf32))

    vqgan.encoder.register_forward_pre_hook(watch)
    before = torch.backends.cudnn.allow_tf32
    with torch.autocast("cpu", torch.bfloat16):
        run(store, vqgan, tmp_path / "within", 5)
    assert set(settings) == {(False, False)}
    assert torch.backends.cudnn.allow_tf32 == before
    assert contents(tmp_path / "within") == contents(tmp_path / "plain")


def test_reconstructions_are_stored_pixels_of_the_decoded_codes(store, vqgan):
    frames = store.window(store.segments("train")[0], 0, 3)
    result = reconstruct(vqgan, frames, device=CPU)
    assert list(result.prefixes) == ["top", "bottom"]
    assert result.full.shape == result.prefixes["top"].shape == frames.shape
    assert result.full.dtype == np.uint8
    with torch.no_grad():
        units = torch.from_numpy(frames).permute(0, 3, 1, 2) / 127.5 - 1
        expected = ((vqgan(units).frames.clamp(-1, 1) + 1) * 127.5).round().permute(0, 2, 3, 1)
    assert np.array_equal(result.full, expected.numpy().astype(np.uint8))
