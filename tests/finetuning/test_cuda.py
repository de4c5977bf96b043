"""What only a graphics card can show: both ways of fine-tuning run there."""

from dataclasses import replace

import pytest
import torch

from cvg.finetuning.train import finetune
from cvg.training.runtime import Runtime

pytestmark = pytest.mark.gpu

DEVICE = torch.device("cuda")


@pytest.mark.parametrize("method", ["teach", "reward"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_fine_tuning_runs(store, models, critic, settings, around, method, precision):
    for one in models.transformers.values():
        one.model.to(DEVICE)
    models.vqgan.to(DEVICE)
    there = replace(around, runtime=Runtime(device=DEVICE, precision=precision))
    quick = {"steps": 4, "validate_every": 2, "warmup_steps": 1, "batch_size": 3, "own_clips": 1}
    asked = settings(**quick, method=method, own_share=0.5, r1_weight=1.0, max_rise=9.0)
    result = finetune(store, models, critic, asked, there)
    assert result.trained.best_step == 4
    for trained in result.transformers.values():
        assert {parameter.device.type for parameter in trained.model.parameters()} == {"cuda"}
