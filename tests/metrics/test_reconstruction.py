"""Figures of the VQGAN against a plain computation, frame by frame."""

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from cvg.errors import UserError
from cvg.frames.store import FrameStore
from cvg.frames.writer import FrameWriter
from cvg.metrics import reconstruction
from cvg.metrics.features import FeatureNetwork
from cvg.metrics.frechet import frechet_distance
from cvg.metrics.networks import Networks
from cvg.metrics.pixels import ssim
from cvg.metrics.reconstruction import measure_clips, measure_reconstruction
from cvg.metrics.scores import Network
from cvg.vqgan.reconstruct import reconstruct

CPU = torch.device("cpu")
NONE = Networks()
HIERARCHIES = [("bottom",), ("top", "bottom"), ("top", "middle", "bottom")]


def write_store(folder, toys, lengths):
    """Segments of both sides in turns; the left half of the pictures stands for three frames."""
    count = sum(lengths)
    pictures = ((toys.toy_frames(count, seed=3) + 1) * 127.5).byte().permute(0, 2, 3, 1).numpy()
    noise = np.random.default_rng(0).integers(0, 2, pictures.shape, dtype=np.uint8)
    frames = pictures.clip(1, 250)
    half = toys.SIZE // 2
    frames[:, :, :half] = frames[np.arange(count) // 3, :, :half]
    frames += noise
    folder.mkdir()
    with FrameWriter(folder, height=toys.SIZE, width=toys.SIZE, shard_bytes=5_000) as writer:
        writer.append(frames)
        for number, length in enumerate(lengths):
            writer.add(toys.segment(number, sum(lengths[:number]), length))
    return FrameStore.open(folder)


@pytest.fixture
def store(toys, tmp_path):
    return write_store(tmp_path / "frames", toys, (5, 11, 4, 1, 3, 6))


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
    monkeypatch.setattr(reconstruction, "FRAMES_AT_ONCE", 4)


def held_out_frames(store):
    return [store.window(part, 0, part.num_frames) for part in store.segments("held_out")]


@pytest.mark.parametrize("levels", HIERARCHIES)
def test_figures_are_those_of_a_plain_computation(store, toys, levels):
    vqgan = toys.toy_vqgan(levels=levels)
    found = measure_reconstruction(store, vqgan, NONE, device=CPU)
    frames = np.concatenate(held_out_frames(store))
    whole = reconstruct(vqgan, frames, device=CPU)
    expected = {}
    for level, pictures in whole.prefixes.items():
        suffix = "" if level == "bottom" else f"_{level}"
        ratios = [
            peak_signal_noise_ratio(a, b, data_range=255)
            for a, b in zip(frames, pictures, strict=True)
        ]
        expected[f"psnr{suffix}"] = np.mean(ratios)
        expected[f"ssim{suffix}"] = ssim(frames[None], pictures[None]).mean()
    assert found.quality == pytest.approx(expected, rel=1e-4)
    assert list(found.codes) == list(levels)
    for level, codes in whole.codes.items():
        shares = np.unique(codes, return_counts=True)[1] / codes.size
        assert found.codes[level]["usage"] == pytest.approx(len(shares) / toys.CODEBOOK)
        perplexity = np.exp(-(shares * np.log(shares)).sum())
        assert found.codes[level]["perplexity"] == pytest.approx(perplexity)
        assert found.counts[level].sum() == codes.size


def test_flips_are_counted_in_every_segment_and_across_batches(store, toys):
    vqgan = toys.toy_vqgan()
    found = measure_reconstruction(store, vqgan, NONE, device=CPU)
    still, flipped, cells = 0, 0, 0
    for frames in held_out_frames(store):
        codes = reconstruct(vqgan, frames, device=CPU).codes["bottom"]
        for t in range(1, len(frames)):
            change = np.abs(frames[t].astype(int) - frames[t - 1].astype(int)).max(axis=2)
            blocks = change.reshape(4, 4, 4, 4).max(axis=(1, 3)) <= 2
            cells += blocks.size
            still += blocks.sum()
            flipped += (blocks & (codes[t] != codes[t - 1])).sum()
    assert 0 < still < cells
    assert flipped > 0
    assert found.codes["bottom"]["still"] == pytest.approx(still / cells)
    assert found.codes["bottom"]["flips"] == pytest.approx(flipped / still)


def test_figures_do_not_depend_on_the_batches(store, toys, monkeypatch):
    vqgan = toys.toy_vqgan()
    few = measure_reconstruction(store, vqgan, NONE, device=CPU)
    monkeypatch.setattr(reconstruction, "FRAMES_AT_ONCE", 64)
    many = measure_reconstruction(store, vqgan, NONE, device=CPU)
    assert few.quality == pytest.approx(many.quality)
    assert few.codes == {level: pytest.approx(figures) for level, figures in many.codes.items()}


@pytest.mark.parametrize("levels", HIERARCHIES)
def test_frames_to_look_at_are_held_out_and_come_once_a_prefix(store, toys, levels):
    shown = measure_reconstruction(store, toys.toy_vqgan(levels=levels), NONE, device=CPU).shown
    assert set(shown) == {"original", "full", *levels[:-1]}
    assert {array.shape for array in shown.values()} == {(8, toys.SIZE, toys.SIZE, 3)}
    held_out = {frame.tobytes() for frame in np.concatenate(held_out_frames(store))}
    assert {frame.tobytes() for frame in shown["original"]} <= held_out


def test_flips_that_cannot_be_measured_are_said(toys, tmp_path):
    store = write_store(tmp_path / "frames", toys, (4, 1))
    found = measure_reconstruction(store, toys.toy_vqgan(), NONE, device=CPU)
    assert "flips" not in found.codes["top"]
    assert [text.partition(" is left out")[0] for text in found.absent] == [
        "codes.top.flips",
        "codes.bottom.flips",
    ]


def test_a_store_without_held_out_frames_is_refused(toys, tmp_path):
    store = write_store(tmp_path / "frames", toys, (4,))
    with pytest.raises(UserError, match=r"no held-out frame.*extract\.held_out"):
        measure_reconstruction(store, toys.toy_vqgan(), NONE, device=CPU)


def embed(clips):
    values = clips.astype(float)
    return np.concatenate([values.mean(axis=(2, 3, 4)), values.std(axis=(2, 3, 4))], axis=1)


TOY = Networks(
    features=FeatureNetwork(
        network=Network(name="toy", weights_sha256="ab" * 32),
        embed=embed,
        min_frames=4,
        resize="none",
    )
)


def check_params(toys, **changes):
    return toys.toy_params().check_vqgan.model_copy(update={"clips": 3, "frames": 5} | changes)


def measured(store, toys, networks=TOY, **changes):
    params = check_params(toys, **changes)
    return measure_clips(store, toys.toy_vqgan(), networks, params=params, seed=4, device=CPU)


def test_reconstruction_fvd_compares_clips_with_what_their_codes_hold(store, toys):
    score = measured(store, toys).scores["fvd_toy"]
    # Nine held-out windows of five frames: seven of the first segment, two of the last.
    windows = [
        frames[i : i + 5] for frames in held_out_frames(store) for i in range(len(frames) - 4)
    ]
    real = [windows[i] for i in (1, 4, 7)]
    decoded = [reconstruct(toys.toy_vqgan(), clip, device=CPU).full for clip in real]
    assert len(windows) == 9
    assert score.value == pytest.approx(
        frechet_distance(embed(np.stack(real)), embed(np.stack(decoded)))
    )
    protocol = score.protocol
    assert (protocol.clips, protocol.frames, protocol.context_frames) == (3, 5, 0)
    assert (protocol.split, protocol.size, protocol.fps, protocol.seed) == ("held_out", 16, 10, 4)
    assert score.scored_frames == "all"


def test_fewer_clips_than_asked_are_said_and_recorded(store, toys, capsys):
    score = measured(store, toys, clips=20).scores["fvd_toy"]
    assert score.protocol.clips == 9
    assert (
        "check_vqgan.clips is 20, but the held-out segments have only 9" in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"frames": 12},
            "no held-out segment has check_vqgan.frames = 12 frames, the longest has 11",
        ),
        ({"frames": 3}, "it needs 4 frames, the clips have 3"),
        ({"clips": 1}, "it needs 2 clips a side, found 1"),
    ],
)
def test_fvd_that_cannot_be_computed_is_absent_with_a_sentence(store, toys, changes, reason):
    found = measured(store, toys, **changes)
    assert not [name for name in found.scores if name.startswith("fvd")]
    assert found.absent == (f"fvd is left out: {reason}",)


def test_without_the_network_nothing_is_decoded(store, toys, monkeypatch):
    monkeypatch.setattr(reconstruction, "reconstruct", None)
    assert measured(store, toys, NONE).scores == {}
