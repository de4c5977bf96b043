"""What a training step costs, found by taking it with tensors that have no data.

Tensors of PyTorch's fake mode have a shape, a type and a place, and no memory. The code that trains
runs on them as it is, so that a step of a network of any size is taken in seconds, its products
are counted, and so are the bytes that it holds at each moment. Where the code asks what a number is
(is the loss finite? has the codebook begun?), the answer is that of an ordinary step.
"""

import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.weak import WeakIdKeyDictionary

from cvg.config import TrainingParams
from cvg.tensors import Float, Tensor
from cvg.training.optimizer import Optimizer
from cvg.training.runtime import Runtime

aten = torch.ops.aten


@dataclass(frozen=True, kw_only=True)
class Trainable:
    """A network and what a step of it does.

    Attributes:
        model: what is trained.
        params: of its optimizer.
        loss: makes a batch and gives its loss.
        matrices: as of a job of the training loop.
        layers: as of such a job.
    """

    model: nn.Module
    params: TrainingParams
    loss: Callable[[], Float[Tensor, ""]]
    matrices: Callable[[], Sequence[Tensor]]
    layers: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """What a step of one process costs; bytes, and floating-point operations of products.

    Attributes:
        parameters: numbers that are trained, by part of the network.
        weights: bytes of parameters and buffers.
        buffers: bytes of those of them that are not trained.
        layers: bytes of the parameters of each layer that is gathered by itself.
        halved: whether products are of half precision.
        gradients: bytes.
        largest: bytes of the largest gradient.
        optimizer: bytes that it keeps.
        forward: operations from the batch to the loss, an adversary's own training included.
        backward: operations of the gradient.
        update: operations of the optimizer.
        saved: bytes kept between the two for the gradient.
        beside: bytes of all else that stays: frozen networks, an adversary and its optimizer.
        peak: most bytes that forward and backward hold at once, beyond weights and what optimizers
            keep; gradients are part of it.
        ungraded: the same without the gradients of weights.
        update_peak: most bytes that the optimizer holds at once beyond gradients and what it keeps.
    """

    parameters: Mapping[str, int]
    weights: int
    buffers: int
    layers: Sequence[int]
    halved: bool
    gradients: int
    largest: int
    optimizer: int
    forward: int
    backward: int
    update: int
    beside: int
    saved: int
    peak: int
    ungraded: int
    update_peak: int


class Ledger(TorchDispatchMode):
    """Counts the bytes of the tensors that are alive, and answers for those without data.

    Attributes:
        now: bytes at present.
        most: bytes at the worst moment since `restart`.
        most_besides: the same without what was set aside.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        super().__init__()
        self.now = self.most = self.most_besides = 0
        self._aside = 0
        self._known = WeakIdKeyDictionary()

    def restart(self) -> int:
        """Forget the worst moment; give the bytes at present."""
        self.most, self.most_besides = self.now, self.now - self._aside
        return self.now

    def set_aside(self, tensor: Tensor) -> None:
        """Count a tensor of its own apart from now on; once more does nothing."""
        storage = tensor.untyped_storage()
        size = self._known[storage]
        if size:
            self._known[storage] = 0
            self._aside += size
            weakref.finalize(storage, self._take_back, size).atexit = False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Compute, and note what is new."""
        del types
        kwargs = kwargs or {}
        if func is aten._local_scalar_dense.default:
            return _ordinary(args[0])
        if func is aten.bincount.default:
            # As many numbers as codes were found: unknown here, `minlength` where none is larger.
            result = args[0].new_zeros(kwargs.get("minlength", args[-1]))
        else:
            result = func(*args, **kwargs)
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._note(leaf.untyped_storage())
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        size = storage.nbytes()
        self._known[storage] = size
        self.now += size
        self.most = max(self.most, self.now)
        self.most_besides = max(self.most_besides, self.now - self._aside)
        weakref.finalize(storage, self._forget, size).atexit = False

    def _forget(self, size: int) -> None:
        self.now -= size

    def _take_back(self, size: int) -> None:
        self._aside -= size


class _Fake(FakeTensorMode):
    """A mode that stays the same one when tensors of it are copied with all that they hold."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Fake":
        return self


@contextmanager
def without_data() -> Iterator[Ledger]:
    """Make tensors that have no data, and count their bytes."""
    with warnings.catch_warnings():
        # Copying a tensor looks at where its data lie.
        warnings.filterwarnings("ignore", message="Accessing the data pointer of FakeTensor")
        with _Fake(), Ledger() as ledger:
            yield ledger


def _ordinary(number: Tensor) -> bool | int | float:
    """Give what a question for a number finds in an ordinary step: yes, none, one."""
    if number.dtype == torch.bool:
        return True
    return 1.0 if number.is_floating_point() else 0


def trace(build: Callable[[], Trainable], runtime: Runtime) -> StepCost:
    """Take a step without data, and count it.

    What is made once is made before: by a first loss what an adversary keeps, by a first update
    what optimizers keep.

    Args:
        build: makes the network and its batch; everything is made in here.
        runtime: precision; the device must be the CPU, on which nothing is allocated.
    """
    with without_data() as ledger:
        task = build()
        task.model.train()
        parameters = list(task.model.parameters())
        for parameter in parameters:
            parameter.register_post_accumulate_grad_hook(partial(_set_aside, ledger))
        loss = task.loss()
        if task.params.accumulate > 1:  # Then gradients are held from one batch to the next.
            loss.backward()
        del loss
        start = ledger.restart()
        before = start - _bytes(_gradients(parameters))
        with FlopCounterMode(display=False) as forward:
            loss = task.loss()
        saved = ledger.now - start
        with FlopCounterMode(display=False) as backward:
            loss.backward()
        del loss
        peak, ungraded = ledger.most - before, ledger.most_besides - before
        gradients = _gradients(parameters)
        optimizer = Optimizer(task.model, task.matrices(), task.params, runtime)
        optimizer.step()
        left = ledger.restart()
        with FlopCounterMode(display=False) as update:
            nn.utils.clip_grad_norm_(parameters, task.params.grad_clip)
            optimizer.step()
        buffers = _bytes(list(task.model.buffers()))
        weights = _bytes(parameters) + buffers
        layers = [task.model.get_submodule(name) for name in task.layers]
        return StepCost(
            parameters=count_by_part(task.model),
            weights=weights,
            buffers=buffers,
            layers=[_bytes(list(layer.parameters())) for layer in layers],
            halved=runtime.precision == "bf16",
            gradients=_bytes(gradients),
            largest=max(gradient.nbytes for gradient in gradients),
            optimizer=_bytes(tree_leaves(optimizer.state_dict())),
            forward=forward.get_total_flops(),
            backward=backward.get_total_flops(),
            update=update.get_total_flops(),
            beside=before - weights,
            saved=saved,
            peak=peak,
            ungraded=ungraded,
            update_peak=ledger.most - left,
        )


def _set_aside(ledger: Ledger, parameter: Tensor) -> None:
    """Count the gradient of a parameter apart."""
    if parameter.grad is not None:
        ledger.set_aside(parameter.grad)


def count_by_part(model: nn.Module) -> dict[str, int]:
    """Count the trained numbers of a network by its parts, those that have any."""
    counts: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        part = name.partition(".")[0]
        counts[part] = counts.get(part, 0) + parameter.numel()
    return counts


def _gradients(parameters: Sequence[Tensor]) -> list[Tensor]:
    return [one.grad for one in parameters if one.grad is not None]


def _bytes(values: Sequence[Any]) -> int:
    return sum(value.nbytes for value in values if isinstance(value, Tensor))
