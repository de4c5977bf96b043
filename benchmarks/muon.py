"""What a step of Muon costs beside PyTorch's own and AdamW: `python -m benchmarks.muon`.

For the matrices of the layers of a transformer of `params.yaml`. With `ONEDNN_MAX_CPU_ISA=AVX2
ATEN_CPU_CAPABILITY=avx2` before it, the processor computes as one without instructions for
bfloat16 does.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import nn

from benchmarks.measure import Row, alternate, main, row_of
from cvg.params import load_params
from cvg.training.muon import Muon

PEER = "torch.optim.Muon"


def matrices(width: int, layers: int) -> list[nn.Parameter]:
    """Give matrices with gradients, of the shapes of a transformer's layers."""
    shapes = ((3 * width, width), (width, width), (4 * width, width), (width, 4 * width))
    found = [nn.Parameter(torch.randn(shape)) for shape in shapes * layers]
    for matrix in found:
        matrix.grad = torch.randn_like(matrix)
    return found


def measure() -> Iterator[Row]:
    """Time steps in turn."""
    own = load_params(Path("params.yaml")).transformer.top
    make = partial(matrices, own.width, own.layers)
    settings = {"lr": 1e-3, "weight_decay": 0.05}
    steps: dict[str, Callable[[], object]] = {
        "Muon, float32": Muon(make(), **settings).step,
        "Muon, bfloat16": Muon(make(), **settings, dtype=torch.bfloat16).step,
        PEER: torch.optim.Muon(make(), **settings, adjust_lr_fn="match_rms_adamw").step,
        "AdamW": torch.optim.AdamW(make(), **settings).step,
    }
    times = alternate(steps)
    for name in steps:
        yield row_of(times, name, peer=None if name == PEER else PEER)


if __name__ == "__main__":
    main(measure)
