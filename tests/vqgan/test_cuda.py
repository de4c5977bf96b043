"""What only a graphics card can show: nothing stays on the CPU, and codes are those of the CPU."""

import pytest
import torch

from cvg.codes.store import CodeStore
from cvg.training.checkpoint import Checkpoints
from cvg.training.loop import Surroundings
from cvg.training.runtime import Runtime
from cvg.vqgan.train import train_vqgan

pytestmark = pytest.mark.gpu

DEVICE = torch.device("cuda")


def run(store, params, runtime, folder):
    around = Surroundings(
        learning_rate=1e-3,
        seed=0,
        runtime=runtime,
        log=lambda row, step: None,
        checkpoints=Checkpoints(folder),
    )
    return train_vqgan(store, params, comparator=None, around=around)


@pytest.fixture
def store(toys, tmp_path):
    return toys.write_frames(tmp_path / "frames")


@pytest.mark.parametrize("quantizer", ["ema", "fsq"])
@pytest.mark.parametrize(
    # Compilation is tested without the type checker of the tests: tests/pipeline/test_compiled.py.
    "traits",
    [{}, {"precision": "bf16"}, {"channels_last": True}],
    ids=str,
)
def test_training_runs_and_is_taken_up_again(store, params, tmp_path, quantizer, traits):
    critic = params.discriminator.model_copy(
        update={"enabled": True, "pairs": True, "width": 8, "start_step": 2, "r1_weight": 0.1}
    )
    changes = {"quantizer": quantizer, "fsq_levels": [3, 4], "discriminator": critic}
    params = params.model_copy(update=changes)
    runtime = Runtime(device=DEVICE, **traits)
    first = run(store, params, runtime, tmp_path / "checkpoints")
    assert first.trained.steps == params.steps
    again = run(store, params, runtime, tmp_path / "checkpoints")
    assert again.trained.resumed_from == params.steps
    assert again.trained.best == first.trained.best
    for name, tensor in first.vqgan.state_dict().items():
        assert tensor.device.type == "cuda"
        assert torch.isfinite(tensor).all()
        assert torch.equal(tensor, again.vqgan.state_dict()[name]), name


def test_codes_are_those_of_the_cpu_but_for_ties(toys, store, vqgan, tmp_path):
    found = {}
    for device in (torch.device("cpu"), DEVICE):
        folder = tmp_path / device.type
        folder.mkdir()
        toys.tokenized(store, vqgan, folder, vqgan_hash="toy", device=device.type)
        codes = CodeStore.open(folder)
        found[device.type] = [
            codes.window(segment, 0, segment.num_frames) for segment in codes.segments("train")
        ]
    for on_cpu, on_cuda in zip(found["cpu"], found["cuda"], strict=True):
        for level in ("top", "bottom"):
            assert (on_cpu[level] == on_cuda[level]).mean() > 0.99
