"""One code of each video as a CUDA graph: `Decoder.peek` recorded once and replayed for each code.

A code takes many small kernels a layer, and on a GPU starting them costs more than what they
compute; a graph starts all at once (https://docs.pytorch.org/docs/stable/notes/cuda.html, "CUDA
Graphs"). It repeats the addresses and numbers of its recording. So here place and slot are
tensors, and what is read and written stays where it is from frame to frame.

What is tested where: on CPUs, that the step equals `Decoder.peek`, as an ordinary call and with its
operations recorded at one place and repeated at others (tests/transformer/test_graph.py). Recording
and replaying by CUDA itself has a test marked `gpu` (tests/transformer/test_cuda.py), which has not
been run on any GPU yet. Hence off by default: `CVG_CUDA_GRAPH=1` (docs/settings.md).
"""

from collections.abc import Callable

import torch

from cvg.config import Order
from cvg.tensors import Float, Tensor
from cvg.training.device import chosen
from cvg.transformer.cache import LayerCache
from cvg.transformer.native.step import Frame
from cvg.transformer.packing import PackedTransformer

Compute = Callable[[], Float[Tensor, "b v"]]

WARM_UP = 3  # calls before a recording, in which libraries take the memory that they keep


def is_wanted(device: torch.device, order: Order) -> bool:
    """Tell whether codes are to be written by a graph: on CUDA devices, in raster order.

    Raises:
        UserError: `CVG_CUDA_GRAPH` is neither 0 nor 1.
    """
    asked = chosen("CVG_CUDA_GRAPH", ("0", "1")) == "1"
    return asked and device.type == "cuda" and order == "raster"


def record(compute: Compute, device: torch.device) -> Compute:
    """Record a computation as a CUDA graph; give what replays it.

    Args:
        compute: what may be called several times for once; it neither waits for the device nor
            makes tensors from numbers, and what it reads and writes stays where it is.
        device: on which it computes.
    """
    with torch.cuda.device(device):
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                compute()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            logits = compute()

    def replay() -> Float[Tensor, "b v"]:
        graph.replay()
        return logits.clone()  # the next replay writes over them

    return replay


class GraphSight:
    """Keeps the step of some videos from frame to frame, as long as its arrays are the same."""

    def __init__(
        self,
        packed: PackedTransformer,
        *,
        record: Callable[[Compute, torch.device], Compute] = record,
    ) -> None:
        """Begin with nothing recorded.

        Args:
            packed: of a model in raster order.
            record: makes of the step what does the same again.
        """
        self._packed, self._record = packed, record
        self._step: GraphStep | None = None

    def begin(self, frame: Frame) -> "GraphStep":
        """Take up a frame, whose bias, turned keys and values are read and written in place.

        A step is recorded anew in the first frame, in the one after it, which has a frame before,
        and where the arrays are others: after `Decoder.take`.
        """
        if self._step is None or not self._step.fits(frame):
            self._step = None  # its memory is free before more is taken
            self._step = GraphStep(self._packed, frame, record=self._record)
        self._step.take_up(frame)
        return self._step


class GraphStep:
    """`Decoder.peek` with every position as a tensor."""

    def __init__(
        self,
        packed: PackedTransformer,
        frame: Frame,
        *,
        record: Callable[[Compute, torch.device], Compute],
    ) -> None:
        """Make room for what is new in each frame; the rest is read where it is.

        Args:
            packed: of a model in raster order.
            frame: the first one; those that follow come by `take_up`.
            record: as for `GraphSight`.
        """
        self._packed, self._record = packed, record
        self._replay: Compute | None = None  # once recorded
        self._arrays = _arrays(frame)
        self._numbers, self._bias = frame.numbers, frame.bias
        self._layers = [
            LayerCache(keys=keys, turned=turned, values=values)
            for keys, turned, values in zip(frame.keys, frame.turned, frame.values, strict=True)
        ]
        self._base, self._before = frame.base.clone(), frame.before.contiguous().clone()
        self._previous = None if frame.previous is None else frame.previous.clone()
        self._place = torch.zeros(1, dtype=torch.int64, device=frame.base.device)
        self._slot = torch.zeros_like(self._place)

    def fits(self, frame: Frame) -> bool:
        """Tell whether a frame lies where this step reads and writes."""
        same = all(a is b for a, b in zip(self._arrays, _arrays(frame), strict=True))
        return same and (self._previous is None) == (frame.previous is None)

    def take_up(self, frame: Frame) -> None:
        """Copy what is new in a frame to where the step reads it."""
        self._base.copy_(frame.base)
        self._before.copy_(frame.before)
        if self._previous is not None and frame.previous is not None:
            self._previous.copy_(frame.previous)

    def logits(self, place: int, slot: int) -> Float[Tensor, "b v"]:
        """Give the logits of a place, and keep its values and turned keys.

        Args:
            place: in the frame.
            slot: where its keys and values are kept.
        """
        self._place.fill_(place)
        self._slot.fill_(slot)
        if self._replay is None:
            self._replay = self._record(self._compute, self._place.device)
        return self._replay()

    def _compute(self) -> Float[Tensor, "b v"]:
        """Do what `logits` says; done twice, it leaves what it left the first time."""
        self._bias.index_fill_(3, self._slot, 0)
        features = self._base.index_select(1, self._place) + self._before_place()
        features = features + self._packed.tables.beside(self._numbers, self._place)
        for packed, layer in zip(self._packed.blocks, self._layers, strict=True):
            features = packed.codes(features, layer, slots=self._slot, bias=self._bias)
        previous = self._previous
        if previous is not None:
            previous = previous.index_select(1, self._place)
        return self._packed.predict(features, previous)[:, 0]

    def _before_place(self) -> Float[Tensor, "b 1 d"]:
        """Give the vector of the code before the place."""
        number = self._numbers.index_select(1, (self._place - 1).clamp(min=0))
        before = self._packed.tables.look_up(number)
        return torch.where(self._place == 0, self._before[:, None], before)


def _arrays(frame: Frame) -> list[Tensor]:
    """Give what a step reads and writes in place."""
    return [*frame.keys, *frame.turned, *frame.values, frame.bias, frame.numbers]
