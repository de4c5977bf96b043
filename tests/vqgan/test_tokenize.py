"""Codes of a whole store: those of its frames, at their places; interrupted or not."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from cvg.codes.store import CodeStore
from cvg.codes.use import code_use
from cvg.errors import UserError
from cvg.frames.store import FrameStore
from cvg.frames.writer import FrameWriter
from cvg.vqgan.model import Vqgan
from cvg.vqgan.reconstruct import reconstruct
from cvg.vqgan.store import save_vqgan
from cvg.vqgan.tokenize import code_grids, tokenize
from pipeline.tokenize import tokenize as tokenize_command

CPU = torch.device("cpu")
SHARD = 10  # frames
LEVELS = [("bottom",), ("top", "bottom"), ("top", "middle", "bottom")]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr("cvg.vqgan.tokenize.SHARD_FRAMES", SHARD)


@pytest.fixture(scope="module")
def store(toys, tmp_path_factory):
    return toys.write_frames(tmp_path_factory.mktemp("tokenize") / "frames")


def run(store, vqgan, folder, batch_size, vqgan_hash="toy"):
    folder.mkdir(exist_ok=True)
    figures = tokenize(
        store, vqgan, vqgan_hash=vqgan_hash, folder=folder, batch_size=batch_size, device=CPU
    )
    return CodeStore.open(folder), figures


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
def test_every_window_holds_the_codes_of_its_frames(toys, store, tmp_path, levels):
    vqgan = toys.toy_vqgan(levels=levels)
    codes, _ = run(store, vqgan, tmp_path / "codes", 5)
    expect_codes_of_frames(codes, store, vqgan)


def test_use_is_counted_over_all_frames(toys, store, vqgan, tmp_path):
    codes, figures = run(store, vqgan, tmp_path / "codes", 5)
    segments = [*codes.segments("train"), *codes.segments("held_out")]
    for level in ("top", "bottom"):
        windows = [codes.window(s, 0, s.num_frames)[level].ravel() for s in segments]
        use = code_use(torch.from_numpy(np.bincount(np.concatenate(windows), minlength=12)))
        assert 0 < use.usage <= 1
        assert figures[f"{level}.usage"] == pytest.approx(use.usage)
        assert figures[f"{level}.perplexity"] == pytest.approx(use.perplexity)


def test_the_batch_size_changes_no_byte(store, vqgan, tmp_path):
    for size in (1, 5, 64):
        run(store, vqgan, tmp_path / f"{size}", size)
    one = contents(tmp_path / "1")
    assert contents(tmp_path / "5") == one
    assert contents(tmp_path / "64") == one


@pytest.mark.parametrize("levels", LEVELS)
def test_codebooks_grids_and_hash_travel_with_the_codes(toys, store, tmp_path, levels):
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
    """Stands before a VQGAN's encoder: notes the frames that it is given, and may fail."""

    def __init__(self, vqgan, *, calls=None):
        self.vqgan = vqgan
        self.calls = calls
        self.seen = []
        self._encode = vqgan.encode
        vqgan.encode = self

    def __call__(self, frames):
        if self.calls is not None and len(self.seen) == self.calls:
            raise KeyboardInterrupt
        self.seen.append(len(frames))
        return self._encode(frames)


def test_batches_are_full_whatever_the_length_of_the_videos(store, toys, tmp_path):
    watched = Watched(toys.toy_vqgan())
    run(store, watched.vqgan, tmp_path / "codes", 5)
    assert watched.seen == [5, 5] * 4 + [2]  # of 42 frames


# With batches of 5, call 2k + 1 is in the middle of a shard.
@pytest.mark.parametrize("calls", range(9))
def test_an_interrupted_run_is_gone_on_with(store, toys, tmp_path, capsys, calls):
    run(store, toys.toy_vqgan(), tmp_path / "whole", 5)
    folder = tmp_path / "codes"
    with pytest.raises(KeyboardInterrupt):
        run(store, Watched(toys.toy_vqgan(), calls=calls).vqgan, folder, 5)
    capsys.readouterr()
    watched = Watched(toys.toy_vqgan())
    _, figures = run(store, watched.vqgan, folder, 5)
    done = calls // 2 * SHARD
    assert sum(watched.seen) == 42 - done
    said = f"tokenize: goes on after {done} of 42 frames (an earlier run was interrupted)\n"
    assert (said in capsys.readouterr().err) == (done > 0)
    assert contents(folder) == contents(tmp_path / "whole")
    assert figures == run(store, toys.toy_vqgan(), tmp_path / "other", 5)[1]


def test_a_batch_that_does_not_divide_a_shard_gives_the_same_batches_again(store, toys, tmp_path):
    whole = Watched(toys.toy_vqgan())
    run(store, whole.vqgan, tmp_path / "whole", 4)
    first = Watched(toys.toy_vqgan(), calls=7)
    with pytest.raises(KeyboardInterrupt):
        run(store, first.vqgan, tmp_path / "codes", 4)
    second = Watched(toys.toy_vqgan())
    run(store, second.vqgan, tmp_path / "codes", 4)
    assert first.seen[:6] + second.seen == whole.seen == [4, 4, 2] * 4 + [2]


def test_a_damaged_shard_is_encoded_again(store, toys, tmp_path):
    run(store, toys.toy_vqgan(), tmp_path / "whole", 5)
    folder = tmp_path / "codes"
    with pytest.raises(KeyboardInterrupt):
        run(store, Watched(toys.toy_vqgan(), calls=6).vqgan, folder, 5)
    path = folder / "codes-00001.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    watched = Watched(toys.toy_vqgan())
    run(store, watched.vqgan, folder, 5)
    assert sum(watched.seen) == 42 - SHARD
    assert contents(folder) == contents(tmp_path / "whole")


def test_codes_of_another_vqgan_are_never_gone_on_with(store, toys, tmp_path):
    folder = tmp_path / "codes"
    with pytest.raises(KeyboardInterrupt):
        run(store, Watched(toys.toy_vqgan(), calls=6).vqgan, folder, 5)
    other = toys.toy_vqgan(seed=1)
    codes, _ = run(store, other, folder, 5, vqgan_hash="other")
    assert codes.vqgan_hash == "other"
    expect_codes_of_frames(codes, store, other)


def test_codes_of_other_frames_are_never_gone_on_with(store, toys, vqgan, tmp_path):
    run(store, vqgan, tmp_path / "codes", 5)
    other = write_store(toys, tmp_path / "frames", toys.segments(), seed=9)
    codes, _ = run(other, vqgan, tmp_path / "codes", 5)
    expect_codes_of_frames(codes, other, vqgan)


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


def test_frames_between_and_in_two_segments_keep_their_numbers(toys, vqgan, tmp_path):
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


def test_a_store_without_frames_is_refused(toys, vqgan, tmp_path):
    store = write_store(toys, tmp_path / "frames", [])
    with pytest.raises(UserError, match="frames: holds no frames; add videos"):
        run(store, vqgan, tmp_path / "codes", 5)


def test_codes_are_made_in_float32_within_autocast_too(store, toys, tmp_path):
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


@pytest.fixture
def command(store, toys, tmp_path, root, monkeypatch):
    """Runs `cvg tokenize`; gives the number of frames that it encodes."""
    monkeypatch.setenv("CVG_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(root)
    encode = Vqgan.encode

    def run_command(*, seed=0, calls=None, fresh=False):
        model = tmp_path / f"vqgan{seed}"
        model.mkdir(exist_ok=True)
        save_vqgan(model, toys.toy_vqgan(seed))
        seen = []

        def watched(vqgan, frames):
            if len(seen) == calls:
                raise KeyboardInterrupt
            seen.append(len(frames))
            return encode(vqgan, frames)

        monkeypatch.setattr(Vqgan, "encode", watched)
        tokenize_command(
            frames=store.folder,
            vqgan=model,
            out=tmp_path / "out",
            params_path=root / "params.yaml",
            fresh=fresh,
        )
        return sum(seen)

    return run_command


def left_behind(tmp_path):
    return [path for path in (tmp_path / "state").rglob("*") if path.is_file()]


def test_the_command_goes_on_after_a_crash_and_leaves_nothing_behind(command, tmp_path):
    assert command() == 42
    whole = contents(tmp_path / "out")
    assert "progress.json" not in whole
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        command(calls=3)
    assert not (tmp_path / "out").exists()
    assert command() == 42 - 3 * SHARD
    assert contents(tmp_path / "out") == whole
    assert not left_behind(tmp_path)


def test_the_command_begins_anew_when_told_to(command, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        command(calls=3)
    assert command(fresh=True) == 42


def test_the_command_with_another_vqgan_leaves_the_interrupted_run_alone(command, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        command(calls=3)
    assert command(seed=1) == 42
    assert command() == 42 - 3 * SHARD
