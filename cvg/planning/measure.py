"""How fast this machine computes: a large matrix product, and steps of small parts of the networks."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cvg.config import Level, LevelParams, Params
from cvg.planning.networks import Networks
from cvg.planning.trace import Trainable
from cvg.training.optimizer import Optimizer
from cvg.training.runtime import Runtime

ROUNDS = 3
MATRICES = {"cpu": 2048, "cuda": 8192}
# What is timed has the widths of the plan, and little besides, so that it takes seconds on a CPU.
LAYERS, FRAMES, CODES = 2, 2, 64


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Floating-point operations a second.

    Attributes:
        product: of a large matrix product in the precision of training.
        steps: of training steps, by name of the stage.
    """

    product: float
    steps: Mapping[str, float]


def measure(networks: Networks) -> Rates:
    """Time this machine, some seconds for each stage; the fastest of some rounds counts."""
    params, runtime = networks.params, networks.runtime
    networks = replace(networks, params=_small(params))
    steps = {"train_vqgan": step_rate(networks.vqgan(2), runtime)}
    for level in params.vqgan.levels:
        name = f"train_transformer@{level}"
        steps[name] = step_rate(networks.transformer(level, 1), runtime)
    steps["train_critic"] = step_rate(networks.critic(params.critic.batch_size), runtime)
    return Rates(product=product_rate(runtime), steps=steps)


def product_rate(runtime: Runtime) -> float:
    """Time a large matrix product."""
    size = MATRICES.get(runtime.device.type, MATRICES["cuda"])
    dtype = torch.float32 if runtime.precision == "fp32" else torch.bfloat16
    left, right = torch.rand(2, size, size, device=runtime.device).to(dtype)
    return 2 * size**3 / _fastest(lambda: left @ right, runtime.device)


def step_rate(task: Trainable, runtime: Runtime) -> float:
    """Time forward and backward of a training step, the optimizer's part included."""
    task.model.train()
    optimizer = Optimizer(task.model, task.matrices, task.params, runtime)

    def step() -> None:
        optimizer.zero_grad()
        task.loss().backward()
        nn.utils.clip_grad_norm_(task.model.parameters(), task.params.grad_clip)
        optimizer.step()

    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops() / _fastest(step, runtime.device)


def _fastest(function: Callable[[], object], device: torch.device) -> float:
    seconds = []
    for _ in range(ROUNDS):
        _wait(device)
        start = time.perf_counter()
        function()
        _wait(device)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _small(params: Params) -> Params:
    """Give networks of the same widths that are quick to step, with nothing pretrained."""
    discriminator = params.vqgan.discriminator.model_copy(update={"pairs": False})
    vqgan = params.vqgan.model_copy(
        update={
            "codebook_size": CODES,
            "quantizer": "ema",
            "still_weight": 0.0,
            "comparator": "none",
            "discriminator": discriminator,
        }
    )
    levels: dict[Level, LevelParams] = {
        level: params.transformer.of(level).model_copy(
            update={
                "layers": LAYERS,
                "clip_frames": min(FRAMES, params.transformer.of(level).clip_frames),
            }
        )
        for level in params.vqgan.levels
    }
    return params.model_copy(
        update={
            "vqgan": vqgan,
            "transformer": params.transformer.model_copy(update=levels),
        }
    )
