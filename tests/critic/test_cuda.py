"""What only a graphics card can show: the critic trains there, and judges as on the CPU."""

import pytest
import torch

from cvg.critic.train import train_critic
from cvg.training.loop import Surroundings
from cvg.training.runtime import Runtime

pytestmark = pytest.mark.gpu

DEVICE = torch.device("cuda")


@pytest.mark.parametrize("seen", ["pixels", "codes"])
@pytest.mark.parametrize("traits", [{}, {"precision": "bf16"}], ids=str)
def test_training_runs_and_judges_as_on_the_cpu(toys, store, seen, traits):
    params = toys.toy_params()
    around = Surroundings(
        learning_rate=1e-3,
        seed=0,
        runtime=Runtime(device=DEVICE, **traits),
        log=lambda row, step: None,
    )
    run = train_critic(
        store,
        toys.toy_vqgan().requires_grad_(False),
        params.critic.model_copy(update={"input": seen}),
        params.transformer.conditions,
        around,
    )
    critic, shape = run.critic.model, run.critic.model.shape
    assert {parameter.device.type for parameter in critic.parameters()} == {"cuda"}
    clips = torch.randn(2, 5, shape.channels, shape.size, shape.size, generator=toys.rng())
    told = run.critic.conditioning.gather(toys.toy_conditions()[:2], frames=1)
    with torch.no_grad():
        there = critic(clips.to(DEVICE), told.to(DEVICE)).clips.cpu()
        here = critic.cpu()(clips, told).clips
    torch.testing.assert_close(there, here, rtol=0, atol=1e-3)
