"""Bad data and bad settings: training recovers, or ends with a message; nothing good is lost."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import cvg.vqgan.train
from cvg.errors import UserError
from cvg.frames.store import FrameStore
from cvg.frames.writer import FrameWriter
from cvg.training.checkpoint import Checkpoints
from cvg.training.loop import Surroundings
from cvg.training.runtime import Runtime
from cvg.vqgan.comparator import Comparator
from cvg.vqgan.train import train_vqgan

RUNTIME = Runtime(device=torch.device("cpu"), precision="fp32", compile=False)


class Distance(Comparator):
    """Stands in for LPIPS, whose network may not be here."""

    def __init__(self):
        torch.nn.Module.__init__(self)

    def forward(self, frames, others):
        return (frames - others).abs().mean()


@pytest.fixture
def store(toys, tmp_path):
    return toys.write_frames(tmp_path / "frames")


def write_same(folder, toys, frame):
    """A store all of whose frames are this one."""
    folder.mkdir()
    with FrameWriter(folder, height=toys.SIZE, width=toys.SIZE, shard_bytes=1 << 20) as writer:
        for segment in toys.segments((12, 12)):
            writer.append(np.repeat(frame[None], 12, axis=0))
            writer.add(segment)
    return FrameStore.open(folder)


def run(
    store,
    params,
    *,
    learning_rate=1e-3,
    comparator=None,
    checkpoints=None,
    runtime=RUNTIME,
    **changes,
):
    around = Surroundings(
        learning_rate=learning_rate,
        seed=0,
        runtime=runtime,
        log=lambda row, step: None,
        checkpoints=checkpoints,
    )
    params = params.model_copy(update=changes)
    return train_vqgan(store, params, comparator=comparator, around=around)


def is_finite(vqgan):
    return all(torch.isfinite(tensor).all() for tensor in vqgan.state_dict().values())


@pytest.mark.parametrize("settings", [{}, {"normalize": True}, {"quantizer": "fsq"}], ids=str)
@pytest.mark.parametrize("content", ["constant", "repeated"])
def test_frames_that_are_all_alike_are_learnt(toys, tmp_path, params, capsys, content, settings):
    frame = np.full((toys.SIZE, toys.SIZE, 3), 77, np.uint8)
    if content == "repeated":
        frame = np.random.default_rng(0).integers(0, 256, frame.shape, dtype=np.uint8)
    store = write_same(tmp_path / "frames", toys, frame)
    result = run(store, params, steps=40, validate_every=20, fsq_levels=[3, 4], **settings)
    assert is_finite(result.vqgan)
    rows = [row for row in result.trained.history.rows if "held_out_l2" in row]
    assert rows[-1]["held_out_l2"] < rows[0]["held_out_l2"]
    if settings != {"quantizer": "fsq"} and content == "constant":
        assert "distinct" in capsys.readouterr().err


def spoil_batches(monkeypatch, steps):
    """Put an infinity into the batches of these steps."""
    calls = iter(range(1000))
    true_augment = cvg.vqgan.train.augment

    def augment(frames, **settings):
        frames = true_augment(frames, **settings)
        if next(calls) in steps:
            frames[0, 0, 0, 0] = float("inf")
        return frames

    monkeypatch.setattr(cvg.vqgan.train, "augment", augment)


def test_one_batch_with_an_infinity_is_skipped_and_told(store, params, monkeypatch, capsys):
    spoil_batches(monkeypatch, {3})
    result = run(store, params)
    assert is_finite(result.vqgan)
    assert result.trained.steps == params.steps
    message = capsys.readouterr().err
    assert "step 4" in message
    assert "not finite" in message


def test_batches_that_stay_bad_stop_the_run_and_the_last_good_state_is_kept(
    store, params, monkeypatch, tmp_path
):
    spoil_batches(monkeypatch, set(range(7, 100)))
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    with pytest.raises(UserError, match="not finite") as stopped:
        run(store, params, steps=20, checkpoints=checkpoints)
    step, _ = checkpoints.latest()
    assert step == 9  # the last look before the third bad batch
    assert str(tmp_path / "checkpoints") in str(stopped.value)


def test_an_absurd_learning_rate_is_told(store, params):
    with pytest.raises(UserError, match=r"not finite|is inf.*Lower lr in params\.yaml"):
        run(store, params, learning_rate=1000.0, steps=60, validate_every=10)


def test_a_bad_learning_rate_does_not_spoil_what_is_kept(store, params):
    result = run(store, params, learning_rate=1.0, steps=60, validate_every=10)
    assert is_finite(result.vqgan)
    looks = [row["held_out_l2"] for row in result.trained.history.rows if "held_out_l2" in row]
    assert result.trained.best["l2"] == min(looks)


def test_dead_codes_are_told_once_a_level(store, params, capsys):
    """Without restarts and far from its latents, a codebook stays on a few codes."""
    settings = {"restart_below": 0.0, "codebook_size": 256, "codebook_decay": 0.999}
    run(store, params, learning_rate=0.3, steps=12, validate_every=2, **settings)
    message = capsys.readouterr().err
    assert message.count("level top: only") == 1
    assert "of 256 codes occur on held-out frames, the others are dead" in message
    run(store, params, quantizer="fsq", fsq_levels=[3, 4])
    assert "are dead" not in capsys.readouterr().err


def test_a_codebook_larger_than_the_data_is_told(store, params, capsys):
    result = run(store, params, codebook_size=4096)
    assert is_finite(result.vqgan)
    message = capsys.readouterr().err
    assert "codebook_size is 4096" in message
    # Two training segments of 9 and 7 frames.
    assert f"only {16 * 4} top codes" in message
    assert f"only {16 * 16} bottom codes" in message


def test_an_absurd_discriminator_does_not_spoil_what_is_kept(store, params):
    """Its start is looked at, and the kept weights are never worse than they were there."""
    settings = params.discriminator.model_copy(
        update={
            "enabled": True,
            "width": 8,
            "start_step": 13,
            "weight": 1e4,
            "max_adaptive": 1e4,
        }
    )
    result = run(
        store,
        params,
        comparator=Distance(),
        discriminator=settings,
        steps=40,
        validate_every=10,
        ema_decay=0.5,
    )
    looks = {
        row["step"]: row["held_out_lpips"]
        for row in result.trained.history.rows
        if "held_out_lpips" in row
    }
    assert 13 in looks
    assert looks[40] > looks[13]
    assert result.trained.best["lpips"] <= looks[13]


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_run_goes_on_after_an_interruption_as_if_nothing_had_happened(
    store, params, monkeypatch, tmp_path, channels_last
):
    runtime = replace(RUNTIME, channels_last=channels_last)
    settings = params.discriminator.model_copy(
        update={"enabled": True, "pairs": True, "width": 8, "start_step": 2, "lecam_weight": 0.1}
    )
    params = params.model_copy(update={"discriminator": settings, "steps": 12, "ema_decay": 0.5})
    whole = run(store, params, runtime=runtime)

    class Killed(Exception):
        pass

    calls = iter(range(100))
    true_augment = cvg.vqgan.train.augment

    def augment(frames, **changes):
        if next(calls) == 7:
            raise Killed
        return true_augment(frames, **changes)

    checkpoints = Checkpoints(tmp_path / "checkpoints")
    with monkeypatch.context() as patched:
        patched.setattr(cvg.vqgan.train, "augment", augment)
        with pytest.raises(Killed):
            run(store, params, checkpoints=checkpoints, runtime=runtime)
    assert checkpoints.latest()[0] == 6
    resumed = run(store, params, checkpoints=checkpoints, runtime=runtime)
    assert resumed.trained.resumed_from == 6
    assert resumed.trained.history.rows == whole.trained.history.rows
    for name, tensor in whole.vqgan.state_dict().items():
        assert torch.equal(tensor, resumed.vqgan.state_dict()[name]), name
