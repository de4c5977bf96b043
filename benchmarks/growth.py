"""How cost grows: `python -m benchmarks.growth`, on one thread.

Each row is one quantity, doubled step by step while all else stays: the seconds, and the exponent
of the power that fits them best (1: twice as much costs twice as much; 0: nothing).
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks import extract as videos
from benchmarks.measure import Row, alternate, main
from benchmarks.sampling import build, null
from benchmarks.vqgan import Training
from cvg.params import load_params
from cvg.seeding import generator
from cvg.transformer.decoder import Decoder
from cvg.transformer.model import Transformer
from cvg.transformer.packing import PackedTransformer, pack
from cvg.transformer.train import cross_entropies

Work = Callable[[], object]
CODES, WIDTH, LAYERS = 256, 128, 4
BATCHES = (4, 8, 16, 32)
ROUNDS = 3


def transformer(*, side: int = 8, window: int = 4) -> Transformer:
    """Give a small transformer over one grid."""
    return build(width=WIDTH, layers=LAYERS, codes=CODES, side=side, window=window)


def training(*, batch: int = 8, side: int = 8, frames: int = 4) -> Work:
    """Give a forward and a backward pass over clips of `frames` frames, all in sight."""
    model = transformer(side=side, window=frames).train().requires_grad_(True)
    codes = torch.randint(CODES, (batch, frames, side * side), generator=generator(0, "codes"))

    def step() -> None:
        cross_entropies(model(codes, null(batch)), codes).mean().backward()

    return step


def sampling(*, batch: int = 1, side: int = 8, window: int = 4, frames: int = 4) -> Work:
    """Give the writing of `frames` frames after the window has been filled."""
    packed = pack(transformer(side=side, window=window), "fp16")
    context = torch.randint(CODES, (batch, window, side * side), generator=generator(0, "codes"))
    return partial(write, packed, context, frames)


@torch.inference_mode()
def write(packed: PackedTransformer, context: torch.Tensor, frames: int) -> None:
    """Write frames after a context, the likeliest code each time."""
    decoder = Decoder(packed, null(len(context)))
    decoder.prefill(context)
    for _ in range(frames):
        decoder.begin()
        for _ in range(context.shape[2]):
            decoder.put(decoder.peek().argmax(-1))


def vqgan(batch: int) -> Work:
    """Give a training step of the VQGAN of params.yaml."""
    params = load_params(Path("params.yaml"))
    section = params.vqgan.model_copy(update={"batch_size": batch})
    return Training(params.model_copy(update={"vqgan": section})).step


@contextmanager
def extraction(sizes: Sequence[tuple[int, int]]) -> Iterator[dict[str, Work]]:
    """Give the extraction of so many videos of so many frames each."""
    with tempfile.TemporaryDirectory() as root:
        works: dict[str, Work] = {}
        for number, (count, frames) in enumerate(sizes):
            corpus = Path(root) / f"videos-{number}"
            videos.make_corpus(corpus, videos=count, frames=frames)
            works[f"{count * frames}"] = partial(videos.run, corpus, Path(root) / "store", 1)
        yield works


def exponent(seconds: Mapping[str, float]) -> float:
    """Give the power of the size that fits seconds best, by least squares of logarithms."""
    sizes = np.log([float(size) for size in seconds])
    return float(np.polyfit(sizes, np.log(list(seconds.values())), 1)[0])


def row(name: str, works: Mapping[str, Work]) -> Row:
    """Time works of growing size in turn."""
    times = alternate(dict(works), rounds=ROUNDS)
    best = {size: min(values) for size, values in times.items()}
    curve = ", ".join(f"{size}: {value:.3g} s" for size, value in best.items())
    return Row(name=f"{name} ({curve})", value=exponent(best), best=exponent(best), unit="power")


def rows() -> Iterator[Row]:
    """Measure all curves."""
    torch.set_num_threads(1)
    with extraction([(3, frames) for frames in (100, 200, 400)]) as works:
        yield row("extract: frames of 3 videos", works)
    with extraction([(count, 100) for count in (3, 6, 12)]) as works:
        yield row("extract: frames of 3, 6, 12 videos", works)
    yield row("VQGAN step: batch", {str(n): vqgan(n) for n in BATCHES})
    yield row("transformer step: batch", {str(n): training(batch=n) for n in BATCHES})
    yield row("transformer step: frames in sight", {str(n): training(frames=n) for n in (2, 4, 8)})
    yield row("transformer step: codes a frame", {str(n * n): training(side=n) for n in (4, 8, 16)})
    yield row("sampling: frames", {str(n): sampling(frames=n) for n in (2, 4, 8)})
    yield row("sampling: videos at once", {str(n): sampling(batch=n) for n in (1, 2, 4, 8)})
    yield row("sampling: window", {str(n): sampling(window=n) for n in (2, 4, 8)})
    yield row("sampling: codes a frame", {str(n * n): sampling(side=n) for n in (4, 8, 16)})


if __name__ == "__main__":
    main(rows)
