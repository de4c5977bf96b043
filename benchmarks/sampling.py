"""How fast codes are sampled: `python -m benchmarks.sampling`, on one thread.

A transformer of 6 layers x 384 with 1,024 codes, 64 a frame, and a window of eight frames writes
twelve after a context of four, as the `sample` stage does. The peer is GPT-2 of Hugging Face at the
same shape, context and number of codes, by `generate` with its dynamic and its static cache.
Weights are random on both sides. The bound is what reading weights and cache once a code would take
at the bandwidth of this machine, measured in the same run. What packing does to the logits is
printed too.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from benchmarks.measure import Row, add_json_option, alternate, report, row_of
from cvg.codes.layout import Grid, Layout
from cvg.conditions.batch import Conditions
from cvg.conditions.vocabulary import NO_CAPTION, NO_LABEL, NO_MOTION, NO_RATE
from cvg.config import Order, Packing
from cvg.sampling.draw import draw
from cvg.seeding import generator, seed_everything
from cvg.tensors import Float, Int64, Tensor
from cvg.transformer.decoder import Decoder
from cvg.transformer.model import INITIAL_DEVIATION, Transformer, TransformerShape
from cvg.transformer.packing import (
    CACHE_BYTES,
    PACKINGS,
    WEIGHT_BYTES,
    PackedTransformer,
    pack,
)

CODES, SIDE, WINDOW = 1024, 8, 8
CONTEXT, WRITTEN = 4, 12  # frames
WIDTH, LAYERS, HEADS = 384, 6, 4
PASSES = 8
BATCHES = (4, 1)
BANDWIDTH_READS = 20
NEAR_THE_BOUND: tuple[Packing, ...] = ("fp32", "fp16", "native", "native-bf16")


def build(
    order: Order = "raster",
    *,
    width: int = WIDTH,
    layers: int = LAYERS,
    codes: int = CODES,
    side: int = SIDE,
    window: int = WINDOW,
) -> Transformer:
    """Give a transformer of random weights, as large as the peer's at its start."""
    shape = TransformerShape(
        width=width,
        layers=layers,
        heads=HEADS,
        window=window,
        order=order,
        keep_first=False,
        reach=1,
        dropout=0.0,
        code_dim=16,
        num_conditions=8,
        condition_length=4,
    )
    grid = Grid(level="top", rows=side, columns=side, codebook_size=codes)
    seed_everything(0, "benchmark")
    model = Transformer(shape, Layout(grids=(grid,)))
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=INITIAL_DEVIATION)
    model.set_codebooks({"top": torch.randn(codes, 16)})
    return model.eval().requires_grad_(False)


def null(batch: int) -> Conditions:
    """Give the null condition."""
    return Conditions(prefix=torch.tensor([[NO_LABEL, NO_RATE, NO_MOTION, NO_CAPTION]] * batch))


def context(batch: int) -> Int64[Tensor, "b t m"]:
    """Give random codes."""
    shape = (batch, CONTEXT, SIDE * SIDE)
    return torch.randint(CODES, shape, generator=generator(0, "context"))


@torch.no_grad()
def write(packed: PackedTransformer, codes: Int64[Tensor, "b t m"]) -> None:
    """Write frames after a context, code by code or in rounds."""
    decoder = Decoder(packed, null(len(codes)))
    decoder.prefill(codes)
    rng = generator(0, "draw")
    for _ in range(WRITTEN):
        decoder.begin()
        if packed.model.shape.order == "parallel":
            _write_in_parallel(decoder, len(codes))
            continue
        for _ in range(SIDE * SIDE):
            logits = decoder.peek()
            decoder.put(draw(logits.softmax(-1), torch.rand(len(codes), generator=rng)))


def _write_in_parallel(decoder: Decoder, batch: int) -> None:
    count = SIDE * SIDE
    frame = torch.zeros(batch, count, dtype=torch.int64)
    hidden = torch.ones(batch, count, dtype=torch.bool)
    for number in range(PASSES):
        frame = torch.where(hidden, decoder.look(frame, hidden).argmax(-1), frame)
        hidden[:, : count * (number + 1) // PASSES] = False
    decoder.give(frame)


@torch.no_grad()
def write_without_cache(model: Transformer, codes: Int64[Tensor, "b t m"], count: int) -> None:
    """Write `count` codes, the whole window anew for each."""
    sequence = codes[:, -WINDOW:].clone()
    for place in range(count):
        logits = model(sequence, null(len(codes)))[:, -1, place]
        sequence[:, -1, place] = logits.argmax(-1)


def gpt2(*, frames: int) -> torch.nn.Module:
    """Give a GPT-2 of the same shape, without dropout, for the codes of so many frames."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=CODES,
        n_positions=frames * SIDE * SIDE,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    return GPT2LMHeadModel(config)


def peer(batch: int, cache: str) -> Callable[[], object]:
    """Give GPT-2's `generate` at the same shape."""
    model: Any = gpt2(frames=CONTEXT + WRITTEN).eval()
    tokens = context(batch).flatten(1)
    return partial(
        model.generate,
        tokens,
        attention_mask=torch.ones_like(tokens),
        max_new_tokens=WRITTEN * SIDE * SIDE,
        min_new_tokens=WRITTEN * SIDE * SIDE,
        do_sample=True,
        cache_implementation=cache,
    )


def bandwidth(weights: Tensor) -> float:
    """Give bytes a second of reading memory of the size of the weights, best of many."""
    times = alternate({"read": weights.sum}, rounds=BANDWIDTH_READS)
    return weights.numel() * weights.element_size() / min(times["read"])


def effect(model: Transformer, packed: PackedTransformer) -> tuple[float, float]:
    """Give the mean divergence in nats, and the share of equal likeliest codes, on a context."""
    logits = [_logits(pack(model, "fp32")), _logits(packed)]
    plain, other = (one.double().log_softmax(-1) for one in logits)
    divergence = (plain.exp() * (plain - other)).sum(-1).mean().item()
    return divergence, (plain.argmax(-1) == other.argmax(-1)).double().mean().item()


@torch.no_grad()
def _logits(packed: PackedTransformer) -> Float[Tensor, "n v"]:
    decoder, rows = Decoder(packed, null(4)), []
    for frame in context(4)[:, :2].unbind(1):
        decoder.begin()
        for codes in frame.unbind(1):
            rows.append(decoder.peek())
            decoder.put(codes)
    return torch.cat(rows)


def measure(rounds: int) -> Iterator[Row]:
    """Time all ways at each batch size; ratios are to Hugging Face's dynamic cache."""
    model, parallel = build(), build("parallel")
    packed = {kind: pack(model, kind) for kind in PACKINGS}
    flat = torch.cat([p.flatten() for p in model.blocks.parameters()])
    bytes_a_second = bandwidth(flat)
    per_frame = 2 * LAYERS * WIDTH * SIDE * SIDE  # numbers in keys and values of a video
    for kind in PACKINGS:
        divergence, equal = effect(model, packed[kind])
        print(f"{kind}: divergence from fp32 {divergence:.2g} nats, likeliest equal {equal:.4f}")
    for batch in BATCHES:
        codes, work = context(batch), batch * WRITTEN * SIDE * SIDE
        functions: dict[str, Callable[[], object]] = {
            f"ours, {kind}": partial(write, packed[kind], codes) for kind in PACKINGS
        }
        functions |= {
            "ours, parallel fp16": partial(write, pack(parallel, "fp16"), codes),
            "generate, dynamic": peer(batch, "dynamic"),
            "generate, static": peer(batch, "static"),
        }
        times = alternate(functions, rounds=rounds)
        for name in functions:
            row = row_of(times, name, peer="generate, dynamic", work=work, unit="codes/s")
            yield replace(row, name=f"batch {batch}: {name}")
        few = 4
        slow = alternate({"x": partial(write_without_cache, model, codes, few)}, rounds=1)
        row = row_of(slow, "x", work=batch * few, unit="codes/s")
        yield replace(row, name=f"batch {batch}: ours, without a cache")
        for kind in NEAR_THE_BOUND:
            read = flat.numel() * WEIGHT_BYTES[kind]
            read += batch * WINDOW * per_frame * CACHE_BYTES[kind]
            seconds = times[f"ours, {kind}"]
            bounded = {"ours": seconds, "memory": [work * read / batch / bytes_a_second]}
            row = row_of(bounded, "ours", peer="memory", work=work, unit="codes/s")
            yield replace(row, name=f"batch {batch}: ours, {kind}, of what memory allows")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="calls of each that are timed")
    parser.add_argument("--small", action="store_true", help="one round; no figures to keep")
    add_json_option(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    report(list(measure(1 if arguments.small else arguments.rounds)), arguments.json)


if __name__ == "__main__":
    main()
