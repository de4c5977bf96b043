"""What writing a second of video costs, by level."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cvg.config import Level
from cvg.planning.networks import Networks
from cvg.planning.trace import without_data
from cvg.transformer.cache import Cache
from cvg.transformer.decoder import Decoder
from cvg.transformer.model import Transformer
from cvg.transformer.packing import CACHE_BYTES, WEIGHT_BYTES, pack


@dataclass(frozen=True, kw_only=True)
class LevelCost:
    """Of the codes of one level, one video at a time, no guidance.

    Attributes:
        level: whose codes.
        codes: of a frame.
        passes: through the layers for a frame: one a code in raster order, `sample.passes` in
            parallel order.
        operations: floating-point operations of products for a frame.
        read: bytes that a pass reads: the weights of the layers, and the keys and values in sight.
    """

    level: str
    codes: int
    passes: int
    operations: int
    read: int


@dataclass(frozen=True, kw_only=True)
class SamplingCost:
    """Of a frame.

    Attributes:
        levels: coarse to fine.
        decode: floating-point operations of the frozen decoder.
        encode: of the encoder, for a frame that is given.
    """

    levels: tuple[LevelCost, ...]
    decode: int
    encode: int

    @property
    def operations(self) -> int:
        """Floating-point operations for a frame."""
        return self.decode + sum(one.operations for one in self.levels)

    @property
    def read(self) -> int:
        """Bytes read for a frame."""
        return sum(one.passes * one.read for one in self.levels)


def sampling_cost(networks: Networks) -> SamplingCost:
    """Write one frame a level without data, and count."""
    levels = networks.params.vqgan.levels
    with without_data(), torch.no_grad():
        vqgan = networks.make_vqgan().eval()
        size = networks.params.extract.frame_size
        with FlopCounterMode(display=False) as encode:
            codes = vqgan.encode(torch.zeros(1, 3, size, size))
        with FlopCounterMode(display=False) as decode:
            vqgan.decode(codes)
    return SamplingCost(
        levels=tuple(_level(networks, level) for level in levels),
        decode=decode.get_total_flops(),
        encode=encode.get_total_flops(),
    )


def _level(networks: Networks, level: Level) -> LevelCost:
    params = networks.params.sample
    with without_data(), torch.no_grad():
        model = networks.make_transformer(level).eval().requires_grad_(False)
        layout = model.layout
        raster = model.shape.order == "raster"
        decoder = Decoder(pack(model, "fp32"), networks.conditions(1))
        frame = torch.zeros(1, layout.num_places, dtype=torch.int64)
        decoder.prefill(frame[:, None])
        with FlopCounterMode(display=False) as once:
            decoder.begin()
            if raster:
                if layout.num_given:
                    decoder.give(frame[:, : layout.num_given])
                # What predicted places take from the codes above them is found at the first.
                decoder.peek()
                decoder.put(frame[:, 0])
            else:
                decoder.give(frame)
        if not raster:
            decoder.begin()
        with FlopCounterMode(display=False) as again:
            if raster:
                decoder.peek()
            else:
                hidden = torch.ones(1, layout.predicted.num_codes, dtype=torch.bool)
                decoder.look(frame, hidden)
        passes = layout.predicted.num_codes if raster else params.passes
        repeated = passes - 1 if raster else passes
        return LevelCost(
            level=level,
            codes=layout.predicted.num_codes,
            passes=passes,
            operations=once.get_total_flops() + repeated * again.get_total_flops(),
            read=_read(model, networks),
        )


def _read(model: Transformer, networks: Networks) -> int:
    """Give the bytes of what every pass looks at."""
    packing = networks.params.sample.packing
    prefix, _ = model.see_condition(networks.conditions(1))
    cache = Cache(model, prefix)
    kept = sum(layer.turned.numel() + layer.values.numel() for layer in cache.layers)
    weights = count([model.blocks, model.head])
    return WEIGHT_BYTES[packing] * weights + CACHE_BYTES[packing] * kept


def count(parts: list[nn.Module]) -> int:
    """Count the numbers in parts of a network."""
    return sum(one.numel() for part in parts for one in part.parameters())
