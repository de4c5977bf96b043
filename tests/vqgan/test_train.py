"""Training as a whole: reproducible, and able to learn."""

import json
from dataclasses import asdict, replace

import pytest
import torch
from torch.nn.functional import mse_loss

from cvg.seeding import seed_everything
from cvg.training.loop import Surroundings
from cvg.training.runtime import Runtime
from cvg.training.weights import hash_weights
from cvg.vqgan.health import measure_health
from cvg.vqgan.model import Vqgan, VqganShape
from cvg.vqgan.step import VqganStep
from cvg.vqgan.train import train_vqgan, vqgan_shape

RUNTIME = Runtime(device=torch.device("cpu"), precision="fp32", compile=False)


@pytest.fixture(scope="module")
def store(toys, tmp_path_factory):
    return toys.write_frames(tmp_path_factory.mktemp("train") / "frames")


def run(store, params, seed=0, checkpoints=None, comparator=None, runtime=RUNTIME):
    around = Surroundings(
        learning_rate=1e-3,
        seed=seed,
        runtime=runtime,
        log=lambda row, step: None,
        checkpoints=checkpoints,
    )
    return train_vqgan(store, params, comparator=comparator, around=around)


def test_the_same_seed_gives_the_same_weights_to_the_bit(store, params):
    first = run(store, params)
    torch.rand(3)  # what else was drawn in the process plays no part
    again, other = run(store, params), run(store, params, seed=1)
    assert hash_weights(first.vqgan) == hash_weights(again.vqgan) != hash_weights(other.vqgan)
    assert first.trained.history.rows == again.trained.history.rows


def test_muon_takes_the_kernels_that_do_not_touch_pixels(store, params, toys, monkeypatch):
    taken = toys.matrices_for_muon(monkeypatch, "cvg.vqgan.train", lambda: run(store, params))
    kernels = {
        f"{name}.weight"
        for name, module in Vqgan(vqgan_shape(params, size=toys.SIZE)).named_modules()
        if isinstance(module, torch.nn.Conv2d)
    }
    assert taken == kernels - {"encoder.1.weight", "decoder.4.weight"}


def test_the_layout_of_kernels_changes_rounding_and_nothing_else(store, params):
    """Few steps, because a code may flip where rounding differs."""
    critic = params.discriminator.model_copy(
        update={"enabled": True, "width": 8, "start_step": 1}  # keeps the graph for two gradients
    )
    changes = {"steps": 4, "validate_every": 4, "discriminator": critic}
    params = params.model_copy(update=changes)
    plain = run(store, params).trained
    other = run(store, params, runtime=replace(RUNTIME, channels_last=True)).trained
    assert other.best == pytest.approx(plain.best, rel=1e-3)
    assert other.history.rows[-1] == pytest.approx(plain.history.rows[-1], rel=1e-3)


def test_the_kept_model_has_the_figures_that_were_reported(store, params):
    result = run(store, params)
    frames = [
        torch.from_numpy(store.window(segment, 0, segment.num_frames)).permute(0, 3, 1, 2) / 127.5
        - 1
        for segment in store.segments("held_out")
    ]
    assert measure_health(result.vqgan, frames) == pytest.approx(result.trained.best, rel=1e-4)


@pytest.mark.slow
def test_it_memorises_a_batch(params, toys):
    """A network this small can; a level that does not learn would leave most of the error."""
    params = params.model_copy(
        update={"width": 32, "codebook_size": 64, "bottom_drop": 0.25, "restart_below": 0.02}
    )
    seed_everything(0, "memorise")
    vqgan = Vqgan(vqgan_shape(params, size=toys.SIZE)).train()
    frames = toys.toy_frames(4)
    step = VqganStep(vqgan, params, comparator=None, adversary=None, runtime=RUNTIME, seed=0)
    optimizer = torch.optim.AdamW(vqgan.parameters(), lr=3e-3)
    for number in range(400):
        result = step(frames, number)
        optimizer.zero_grad()
        result.loss.backward()
        optimizer.step()
    vqgan.eval()
    whole = vqgan(frames)
    spread = frames.var().item()
    assert mse_loss(whole.frames, frames).item() < 0.02 * spread
    assert mse_loss(vqgan.decode({"top": whole.codes["top"]}), frames).item() < 0.1 * spread


def test_each_level_has_a_rate_weight_of_its_own(params, toys):
    weights = params.rate_weight.model_copy(update={"top": 0.1, "bottom": 2.0})
    shape = vqgan_shape(params.model_copy(update={"rate_weight": weights}), size=toys.SIZE)
    read_back = VqganShape.from_json(json.loads(json.dumps(asdict(shape))))
    quantizers = Vqgan(read_back).quantizers
    assert {level: one.rate_weight for level, one in quantizers.items()} == {
        "top": 0.1,
        "bottom": 2.0,
    }
