"""What decoding keeps: keys and values of the prefix, and of the last frames in a ring."""

from dataclasses import dataclass

import torch

from cvg.tensors import Bool, Float, Tensor
from cvg.transformer.attention import KeysValues


@dataclass
class LayerCache:
    """Keys and values of one layer."""

    prefix: KeysValues
    keys: Float[Tensor, "b a r e"]  # rotated; r = window * places
    values: Float[Tensor, "b a r e"]


class Cache:
    """A ring of the last `window` frames: constant memory, no limit on the number of frames.

    Frame t lives in slot t % window. Keys carry their time in their rotation, so their order in
    the ring does not matter; what must not be seen (frames never written, the rest of the frame
    that is being overwritten) is masked.
    """

    def __init__(self, layers: list[LayerCache], *, window: int, num_places: int) -> None:
        """Wrap prepared layers with an empty ring."""
        self.layers = layers
        self.window = window
        self.num_places = num_places
        self.frame = 0  # the frame being written
        self.place = 0  # the next place in it

    def slots(self, count: int) -> slice:
        """Give where the next `count` places of the present frame are kept."""
        start = (self.frame % self.window) * self.num_places + self.place
        return slice(start, start + count)

    def visible(self, count: int) -> Bool[Tensor, "n r"]:
        """Say what each of the next `count` places may look at."""
        size = self.window * self.num_places
        slot = torch.arange(size, device=self.layers[0].keys.device)
        in_present = slot // self.num_places == self.frame % self.window
        # Until the ring has been filled once, slots behind the present frame are unwritten.
        written = slot // self.num_places < min(self.frame, self.window)
        places = torch.arange(self.place, self.place + count, device=slot.device)
        earlier = slot % self.num_places <= places[:, None]
        return torch.where(in_present, earlier, written)

    def advance(self, count: int) -> None:
        """Go on by `count` places, into the next frame at the end of one."""
        self.place += count
        if self.place == self.num_places:
            self.frame, self.place = self.frame + 1, 0
