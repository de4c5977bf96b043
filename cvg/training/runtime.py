"""How a machine computes: device, precision, compilation, memory layout, and on how many processes.

These are environment variables and no parameters, because they belong to a machine: the same
params.yaml must train on a laptop and on a graphics card. They do change rounding, so they are part
of what a checkpoint is found by: no run goes on from the state of another kind of machine. The
number of processes is none of it: a run may go on with another one (docs/scale.md).
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from cvg import launch
from cvg.training.device import chosen, chosen_device
from cvg.training.ranks import ALONE, Ranks

Precision = Literal["fp32", "bf16"]
Strategy = Literal["ddp", "fsdp2"]


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Where and how a model is trained.

    Attributes:
        device: where its tensors live.
        precision: of the products within `autocast` and within Muon; weights, averages and what
            optimizers keep are float32.
        compile: whether `prepare` compiles a model.
        channels_last: whether `prepare` lays kernels out with the channels innermost.
        strategy: of several processes: each has the whole model (ddp), or a part of its weights,
            averages and moments (fsdp2).
        ranks: the processes of this run.
    """

    device: torch.device
    precision: Precision = "fp32"
    compile: bool = False
    channels_last: bool = False
    strategy: Strategy = "ddp"
    ranks: Ranks = ALONE

    def autocast(self) -> AbstractContextManager[Any]:
        """Give the context in which a model is called; losses are computed outside of it."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def prepare(self, model: nn.Module) -> None:
        """Lay out and compile a model that is on the device, in place.

        The layout of a kernel decides that of the features behind it, so inputs stay as they are.
        """
        if self.channels_last:
            model.to(memory_format=torch.channels_last)
        if self.compile:
            model.compile()

    def traits(self) -> dict[str, str | int]:
        """Give all that changes rounding on one process: only where these agree, two runs agree."""
        return {
            "torch": torch.__version__,
            "device": self.device.type,
            "processor": _processor(self.device),
            "precision": self.precision,
            "compile": self.compile,
            "channels_last": self.channels_last,
            "threads": torch.get_num_threads(),
        }


def chosen_runtime() -> Runtime:
    """Read the environment, and join the other processes of this run, if there are any.

    `CVG_DEVICE` is a name, `CVG_PRECISION` auto, fp32 or bf16, `CVG_COMPILE` and
    `CVG_CHANNELS_LAST` 0 or 1, `CVG_STRATEGY` ddp or fsdp2.
    `auto`, the default, is bf16 on CUDA devices that support it and fp32 elsewhere. On the CPU,
    bf16 is faster only where the processor has instructions for it (AVX512-BF16, AMX), and many
    times slower elsewhere.

    Raises:
        UserError: a value is unknown, or the device or another process is not there.
    """
    device = chosen_device()
    strategy = chosen("CVG_STRATEGY", ("ddp", "fsdp2"))
    precision = chosen("CVG_PRECISION", ("auto", "fp32", "bf16"))
    return Runtime(
        device=device,
        precision=_best_precision(device) if precision == "auto" else _named(precision),
        compile=chosen("CVG_COMPILE", ("0", "1")) == "1",
        channels_last=chosen("CVG_CHANNELS_LAST", ("0", "1")) == "1",
        strategy="fsdp2" if strategy == "fsdp2" else "ddp",
        ranks=_ranks(device),
    )


def _ranks(device: torch.device) -> Ranks:
    """Join the other processes of this run, where there are any."""
    if launch.world_size() == 1:
        return ALONE
    from cvg.training.group import join

    return join(device)


def _processor(device: torch.device) -> str:
    """Name what decides which kernels are taken."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return torch.backends.cpu.get_cpu_capability()


def _named(precision: str) -> Precision:
    return "bf16" if precision == "bf16" else "fp32"


def _best_precision(device: torch.device) -> Precision:
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16"
    return "fp32"
