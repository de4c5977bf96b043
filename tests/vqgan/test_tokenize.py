"""Codes of a whole store: those of its frames, at their places."""

import numpy as np
import pytest
import torch

from cvg.codes.store import CodeStore
from cvg.vqgan.reconstruct import reconstruct
from cvg.vqgan.tokenize import code_grids, tokenize

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def store(toys, tmp_path_factory):
    return toys.write_frames(tmp_path_factory.mktemp("tokenize") / "frames")


def run(store, vqgan, folder, batch_size):
    folder.mkdir()
    figures = tokenize(
        store, vqgan, vqgan_hash="toy", folder=folder, batch_size=batch_size, device=CPU
    )
    return CodeStore.open(folder), figures


def test_every_window_holds_the_codes_of_its_frames(store, vqgan, tmp_path):
    codes, figures = run(store, vqgan, tmp_path / "codes", 5)
    seen = {"top": set(), "bottom": set()}
    for split in ("train", "held_out"):
        assert codes.segments(split) == store.segments(split)
        for segment in store.segments(split):
            frames = store.window(segment, 1, segment.num_frames - 1)
            expected = reconstruct(vqgan, frames, device=CPU).codes
            found = codes.window(segment, 1, segment.num_frames - 1)
            for level, array in found.items():
                assert np.array_equal(array, expected[level])
                seen[level] |= set(codes.window(segment, 0, segment.num_frames)[level].flatten())
    size = vqgan.shape.codebook_size
    for level in ("top", "bottom"):
        assert figures[f"{level}.usage"] == pytest.approx(len(seen[level]) / size)


def test_the_batch_size_changes_no_byte(store, vqgan, tmp_path):
    run(store, vqgan, tmp_path / "one", 1)
    run(store, vqgan, tmp_path / "many", 64)
    for path in sorted((tmp_path / "one").iterdir()):
        assert path.read_bytes() == (tmp_path / "many" / path.name).read_bytes(), path.name


def test_codebooks_and_hash_travel_with_the_codes(store, vqgan, tmp_path):
    codes, _ = run(store, vqgan, tmp_path / "codes", 64)
    assert codes.vqgan_hash == "toy"
    assert codes.grids == code_grids(vqgan)
    expected = vqgan.bottom_quantizer.codebook.numpy()
    assert np.array_equal(codes.codebooks()["bottom"], expected)


def test_reconstructions_are_stored_pixels_of_the_decoded_codes(store, vqgan):
    frames = store.window(store.segments("train")[0], 0, 3)
    result = reconstruct(vqgan, frames, device=CPU)
    assert result.full.shape == result.top.shape == frames.shape
    assert result.full.dtype == np.uint8
    with torch.no_grad():
        units = torch.from_numpy(frames).permute(0, 3, 1, 2) / 127.5 - 1
        expected = ((vqgan(units).frames.clamp(-1, 1) + 1) * 127.5).round().permute(0, 2, 3, 1)
    assert np.array_equal(result.full, expected.numpy().astype(np.uint8))
