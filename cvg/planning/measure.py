"""How fast this machine computes: a large matrix product, and steps of thinner networks."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch.utils.flop_counter import FlopCounterMode

from cvg.config import LevelParams, Params
from cvg.planning.networks import Networks
from cvg.planning.trace import Trainable
from cvg.training.runtime import Runtime

ROUNDS = 3
MATRICES = {"cpu": 2048, "cuda": 8192}
# What is timed has the widths and the clips of the plan, but fewer layers, and of its batch as many
# rows as a product of that many seconds has operations: seconds on a CPU, the whole batch on a GPU.
LAYERS = 2
FEWEST_CODES = 4  # as many as the smallest grid has, so that one frame can begin a codebook
SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Floating-point operations a second.

    Attributes:
        product: of a large matrix product in the precision of training.
        steps: of forward and backward of a training step, by name of the stage.
    """

    product: float
    steps: Mapping[str, float]


def measure(networks: Networks) -> Rates:
    """Time this machine, some seconds for each stage; the fastest of some rounds counts."""
    params, runtime = networks.params, networks.runtime
    thin = replace(networks, params=_with_few_layers(params))
    plain = replace(networks, params=_plain(params))
    product = product_rate(runtime)
    stages: dict[str, tuple[Callable[[int], Trainable], int]] = {
        "train_vqgan": (plain.vqgan, params.vqgan.batch_size),
        **{
            f"train_transformer@{level}": (
                partial(thin.transformer, level),
                params.transformer.of(level).batch_size,
            )
            for level in params.vqgan.levels
        },
        "train_critic": (thin.critic, params.critic.batch_size),
    }
    return Rates(
        product=product,
        steps={
            name: step_rate(build, device=runtime.device, most=most, operations=SECONDS * product)
            for name, (build, most) in stages.items()
        },
    )


def product_rate(runtime: Runtime) -> float:
    """Time a large matrix product."""
    size = MATRICES.get(runtime.device.type, MATRICES["cuda"])
    dtype = torch.float32 if runtime.precision == "fp32" else torch.bfloat16
    left, right = torch.rand(2, size, size, device=runtime.device).to(dtype)
    return 2 * size**3 / _fastest(lambda: left @ right, runtime.device)


def step_rate(
    build: Callable[[int], Trainable], *, device: torch.device, most: int, operations: float
) -> float:
    """Time forward and backward of a training step.

    Args:
        build: gives a network and its batch of so many rows.
        device: that computes.
        most: rows of a batch.
        operations: of the step that is timed, about, unless a row has more or a batch fewer.
    """
    rows = min(most, max(1, int(operations / _count(build(1)))))
    task = build(rows)
    counted = _count(task)  # allocates, too
    return counted / _fastest(lambda: _step(task), device)


def _count(task: Trainable) -> int:
    with FlopCounterMode(display=False) as counter:
        _step(task)
    return counter.get_total_flops()


def _step(task: Trainable) -> None:
    task.model.train().zero_grad()
    task.loss().backward()


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


def _with_few_layers(params: Params) -> Params:
    levels: dict[str, LevelParams] = {
        level: params.transformer.of(level).model_copy(
            update={"layers": min(LAYERS, params.transformer.of(level).layers)}
        )
        for level in params.vqgan.levels
    }
    return params.model_copy(update={"transformer": params.transformer.model_copy(update=levels)})


def _plain(params: Params) -> Params:
    """Let single frames do for the VQGAN, without what is pretrained."""
    changes = {
        "codebook_size": FEWEST_CODES,
        "quantizer": "ema",
        "still_weight": 0.0,
        "comparator": "none",
        "discriminator": params.vqgan.discriminator.model_copy(update={"pairs": False}),
    }
    return params.model_copy(update={"vqgan": params.vqgan.model_copy(update=changes)})
