"""Several processes that train together, joined by `torch.distributed`."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from einops import rearrange
from torch import distributed

from cvg import launch
from cvg.errors import UserError
from cvg.seeding import seed_everything
from cvg.tensors import Tensor
from cvg.training.ranks import Ranks
from cvg.training.share import Share

SECONDS = "CVG_COLLECTIVE_SECONDS"
DEFAULT_SECONDS = 600
BUCKET = 2**23  # numbers that are averaged at once, 32 MB; more where one gradient has more
# How errors of the libraries below name a rank that is gone or does not answer.
LOST = (
    "gloo",
    "NCCL",
    "Timed out",
    "Connection closed",
    "Connection reset",
    "Broken pipe",
    "Socket",
)

Value = TypeVar("Value")


class Group(Ranks):
    """One of several processes, joined by `torch.distributed`."""

    def __init__(self, *, number: int, count: int) -> None:
        """Take part as rank `number` of `count`; the processes are joined already."""
        self.number, self.count = number, count

    def share(self, total: int, *, together: int = 1) -> Share:
        """Deal out the rows in turn, `together` at a time."""
        own = [row for row in range(total) if row // together % self.count == self.number]
        return Share(numbers=own, total=total)

    def gathered(self, rows: Tensor, *, together: int = 1) -> Tensor:
        """Undo `share`."""
        rows = rows.detach().contiguous()
        parts = [torch.empty_like(rows) for _ in range(self.count)]
        distributed.all_gather(parts, rows)
        return rearrange(torch.stack(parts), "r (n t) ... -> (n r t) ...", t=together)

    def mean(self, value: Tensor) -> Tensor:
        """Divide the sum."""
        return self.sum(value) / self.count

    def sum(self, value: Tensor) -> Tensor:
        """Add up, on the device where the value is."""
        total = value.detach().clone()
        distributed.all_reduce(total)
        return total

    def means(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Send them together, in float32, to where the first one is."""
        device = values[0].device
        return list(self.mean(torch.stack([one.detach().float().to(device) for one in values])))

    def most(self, value: int) -> int:
        """Ask all, on the CPU."""
        found = torch.tensor(value)
        distributed.all_reduce(found, distributed.ReduceOp.MAX)
        return int(found)

    def of_first(self, value: Value) -> Value:
        """Send it to all as JSON: no rank unpickles what comes over a network."""
        text = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        length = int(self.from_first(torch.tensor(len(text))))
        text = text if self.number == 0 else text.new_empty(length)
        return json.loads(self.from_first(text).numpy().tobytes())

    def from_first(self, tensor: Tensor) -> Tensor:
        """Send it to all, on the device where it is."""
        tensor = tensor.detach().clone()
        distributed.broadcast(tensor, src=0)
        return tensor

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Average many at once. One that only some ranks have is 0 for the others."""
        parameters = list(parameters)
        # On the CPU, where knowing it waits for no device.
        used = torch.tensor([int(one.grad is not None) for one in parameters])
        distributed.all_reduce(used, distributed.ReduceOp.MAX)
        for parameter, is_used in zip(parameters, used.tolist(), strict=True):
            if is_used and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        for bucket in _buckets([one.grad for one in parameters if one.grad is not None]):
            means = torch.cat([gradient.flatten() for gradient in bucket])
            distributed.all_reduce(means)
            means /= self.count
            sizes = [gradient.numel() for gradient in bucket]
            for gradient, mean in zip(bucket, means.split(sizes), strict=True):
                gradient.copy_(mean.view_as(gradient))

    def reseed(self, seed: int, *purpose: str | int) -> None:
        """Seed the global generator for this rank."""
        seed_everything(seed, *purpose, "rank", self.number)


def join(device: torch.device) -> Group:
    """Join the other processes of the run that `torchrun` has started; called within `joined`.

    They talk by gloo, and about tensors on graphics cards by NCCL.

    Raises:
        UserError: `CVG_COLLECTIVE_SECONDS` is no number of seconds.
    """
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=timedelta(seconds=_seconds()))
    return Group(number=launch.rank(), count=launch.world_size())


@contextmanager
def joined() -> Iterator[None]:
    """Part from the other ranks at the end; say in plain words that one does not answer.

    Raises:
        UserError: it is so.
    """
    try:
        yield
        if distributed.is_initialized():
            distributed.destroy_process_group()
    except RuntimeError as error:
        if launch.world_size() == 1 or not any(word in str(error) for word in LOST):
            raise
        raise UserError(
            f"another of the {launch.world_size()} ranks has ended, or did not answer within "
            f"{_seconds():.0f} s ({SECONDS}). If one has said why, mend that; the same "
            "command goes on from the last checkpoint. What was found: "
            f"{str(error).splitlines()[0]}"
        ) from error


def _buckets(gradients: list[Tensor]) -> Iterator[list[Tensor]]:
    """Put gradients together, as many as can be sent at once."""
    bucket: list[Tensor] = []
    for gradient in gradients:
        if bucket and sum(one.numel() for one in [*bucket, gradient]) > BUCKET:
            yield bucket
            bucket = []
        bucket.append(gradient)
    if bucket:
        yield bucket


def _seconds() -> float:
    text = os.environ.get(SECONDS) or str(DEFAULT_SECONDS)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise UserError(f"{SECONDS}={text}: expected a number of seconds above 0")
    return seconds
