"""What decoding keeps: keys and values of the prefix, of anchors, and of the last frames in a ring.

All of a layer lie in one array, prefix | first frame | goal | ring, so that a new code looks at
everything with one product. Keys are kept twice: as they are, and turned to their distance from
the present frame, once in it; codes of the present frame then need no turning at all.
Turned keys lie transposed, because one query reads cold keys nearly twice as fast so. The work of
a code does not grow with the length of a video, nor does the memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from cvg.tensors import Float, Int64, Tensor
from cvg.transformer.attention import KeysValues
from cvg.transformer.block import Seen
from cvg.transformer.model import Goal, Transformer


@dataclass
class LayerCache:
    """Keys and values of one layer."""

    keys: Float[Tensor, "b a k e"]  # not turned; those of the present frame come by `settle`
    turned: Float[Tensor, "b a e k"]
    values: Float[Tensor, "b a k e"]


class Cache:
    """Keys and values of all layers, and where the next code belongs.

    Frame t lives in slot t % window of the ring. What must not be seen (frames never written, the
    rest of the frame that is being overwritten) has a bias of minus infinity.

    Attributes:
        layers: first to last.
        rotation: turns the key of each slot to the present frame.
        frame: the frame being written.
        place: the next place in it.
    """

    def __init__(
        self, model: Transformer, prefix: Sequence[KeysValues], *, goal: Goal | None = None
    ) -> None:
        """Make room, empty but for the prefix.

        Args:
            model: whose layers these are.
            prefix: what each layer sees of the condition.
            goal: in which the videos end; its keys and values follow by `set_goal`.
        """
        shape, first = model.shape, prefix[0]
        b, a, num_prefix, e = first.keys.shape
        self._model, self._window, self._places = model, shape.window, model.layout.num_places
        self._goal_time = None if goal is None else goal.time
        self._prefix = slice(num_prefix)
        # What no anchor needs takes no room: it would be read for every code.
        self._first = slice(num_prefix, num_prefix + self._places * shape.keep_first)
        self._goal = slice(self._first.stop, self._first.stop + self._places * (goal is not None))
        self._ring = slice(self._goal.stop, self._goal.stop + self._window * self._places)
        self.layers = [
            LayerCache(
                keys=first.keys.new_zeros(b, a, self._ring.stop, e),
                turned=first.keys.new_zeros(b, a, e, self._ring.stop),
                values=first.keys.new_zeros(b, a, self._ring.stop, e),
            )
            for _ in prefix
        ]
        self._bias = first.keys.new_zeros(b, 1, 1, self._ring.stop)
        self.frame = 0
        self.place = 0
        self._is_turned = False  # and the keys of the present frame are among those turned
        self.set_prefix(prefix)

    def take(self, rows: Int64[Tensor, "r"]) -> None:
        """Go on with the state of some videos, by their numbers."""
        for layer in self.layers:
            layer.keys, layer.turned, layer.values = (
                tensor[rows] for tensor in (layer.keys, layer.turned, layer.values)
            )
        self._bias = self._bias[rows]

    def set_prefix(self, prefix: Sequence[KeysValues]) -> None:
        """Put in what is seen of a condition, from `begin_frame` on."""
        for layer, seen in zip(self.layers, prefix, strict=True):
            layer.keys[:, :, self._prefix] = seen.keys
            layer.values[:, :, self._prefix] = seen.values
        padding = ~prefix[0].visible
        self._bias[..., self._prefix] = 0
        self._bias[..., self._prefix].masked_fill_(padding, -torch.inf)

    def set_goal(self, goal: Sequence[Seen]) -> None:
        """Put in what each layer has made of the goal."""
        for layer, seen in zip(self.layers, goal, strict=True):
            layer.keys[:, :, self._goal] = seen.keys
            layer.values[:, :, self._goal] = seen.values

    def set_frames(self, layers: Sequence[Seen], *, count: int) -> None:
        """Put in the first `count` frames at once, as a pass over them has left them."""
        m = self._places
        kept = range(max(0, count - self._window), count)
        slots = torch.cat([torch.arange(m) + self._slot(frame).start for frame in kept])
        slots = slots.to(self._bias.device)
        for layer, seen in zip(self.layers, layers, strict=True):
            # A pass may have been of less precision.
            keys, values = seen.keys.to(layer.keys.dtype), seen.values.to(layer.values.dtype)
            layer.keys[:, :, slots] = keys[:, :, kept.start * m :]
            layer.values[:, :, slots] = values[:, :, kept.start * m :]
            if self._model.shape.keep_first:
                layer.keys[:, :, self._first] = keys[:, :, :m]
                layer.values[:, :, self._first] = values[:, :, :m]
        self.frame = count

    def begin_frame(self) -> None:
        """Find how far all is from the present frame, and what is in sight."""
        self.rotation = self._model.rotation(-self._ages().to(self._bias.device), self._bias.dtype)
        first_is_seen = self._model.shape.keep_first and self.frame >= self._window
        self._bias[..., self._first] = 0 if first_is_seen else -torch.inf
        # Until the ring has been filled once, slots behind the present frame are unwritten.
        written = min(self.frame, self._window) * self._places
        self._bias[..., self._ring.start : self._ring.start + written] = 0
        self._bias[..., self._ring.start + written :] = -torch.inf
        self._bias[..., self._slot(self.frame)] = -torch.inf

    def turn(self) -> None:
        """Turn all keys to the present frame, where that has not been done."""
        if self._is_turned:
            return
        for layer in self.layers:
            layer.turned.copy_(self.rotation.turn(layer.keys).transpose(-2, -1))
        self._is_turned = True

    def settle(self) -> None:
        """Keep the keys of the present frame, which need no turning, among those not turned."""
        if not self._is_turned:
            return
        slot = self._slot(self.frame)
        for layer in self.layers:
            layer.keys[:, :, slot] = layer.turned[..., slot].transpose(-2, -1)
        self._is_turned = False

    def slots(self, count: int) -> slice:
        """Give where the next `count` places of the present frame are kept."""
        start = self._slot(self.frame).start + self.place
        return slice(start, start + count)

    def bias(self, count: int, *, causal: bool) -> Float[Tensor, "b 1 _ k"]:
        """Say what each of the next `count` places may look at: 0, or minus infinity.

        One row where all may look at the same.

        Args:
            count: of places.
            causal: whether each sees of its own frame only itself and what is before it.
        """
        slots = self.slots(count)
        self._bias[..., slots] = 0
        if count == 1 or not causal:
            return self._bias
        bias = self._bias.repeat(1, 1, count, 1)
        after = torch.ones(count, count, dtype=torch.bool, device=bias.device).triu(1)
        bias[..., slots].masked_fill_(after, -torch.inf)
        return bias

    def advance(self, count: int) -> None:
        """Go on by `count` places, into the next frame at the end of one."""
        self.place += count
        if self.place < self._places:
            return
        self.settle()
        if self.frame == 0 and self._model.shape.keep_first:
            slot = self._slot(self.frame)
            for layer in self.layers:
                layer.keys[:, :, self._first] = layer.keys[:, :, slot]
                layer.values[:, :, self._first] = layer.values[:, :, slot]
        self.frame, self.place = self.frame + 1, 0

    def _ages(self) -> Tensor:
        """Give how many frames ago each slot was, as queries of the present frame see it."""
        now, reach, m = self.frame, self._model.shape.reach, self._places
        ages = torch.zeros(self._ring.stop, dtype=torch.int64)
        ages[self._first] = min(now, reach)
        if self._goal_time is not None:
            ages[self._goal] = max(-reach, min(now - self._goal_time, reach))
        slots = torch.arange(self._window)
        ages[self._ring] = ((now - slots) % self._window).repeat_interleave(m)
        return ages

    def _slot(self, frame: int) -> slice:
        start = self._ring.start + (frame % self._window) * self._places
        return slice(start, start + self._places)
