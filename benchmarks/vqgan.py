"""How fast the VQGAN of params.yaml is on this processor: `python -m benchmarks.vqgan`.

It is trained on random frames that are in memory already, and measured against what the processor
can do at best: matrix products and convolutions, timed in turn with it. The peer is the VQModel of
diffusers. Weights are random, and the codebooks are what one training step makes of them.
"""

import argparse
import copy
import importlib.util
import statistics
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import (
    ROUNDS,
    Row,
    add_json_option,
    alternate,
    print_table,
    report,
    row_of,
)
from cvg.params import load_params
from cvg.pretrained.catalog import LPIPS_TRUNKS
from cvg.pretrained.lpips import load_lpips
from cvg.pretrained.store import locate
from cvg.seeding import generator, seed_everything
from cvg.training.average import WeightAverage
from cvg.training.optimizer import Optimizer
from cvg.training.runtime import Precision, Runtime
from cvg.vqgan.adversary import Adversary
from cvg.vqgan.comparator import Comparator
from cvg.vqgan.model import Vqgan
from cvg.vqgan.step import VqganStep, compared_frames
from cvg.vqgan.train import vqgan_shape

CPU = torch.device("cpu")
DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
GOAL = 0.4  # share of the peak that training reaches
STEPS = 5  # training steps timed as one
MATRIX = 2048  # rows and columns
VGG_SHARE = 1 / 8  # of a batch; VGG costs many times as much as AlexNet
ENCODE_BATCHES = (1, 16, 64)
ENCODED = 256  # frames timed as one
PEER_BATCH = 8
# Channels of the VQModel at 64, 32, 16 and 8 pixels, as multiples of its width. Those nearer to the
# end do less at full size.
PROPORTIONS = ((1, 2, 4, 4), (1, 2, 2, 4), (1, 1, 2, 2), (1, 1, 2, 4), (1, 1, 4, 6), (1, 1, 1, 1))
PEER_WIDTHS = range(8, 257, 8)
PEER_STEP = 8  # pixels that a place of its grid stands for
TOLERANCE = 0.05  # of the number of parameters


@dataclass(frozen=True, kw_only=True)
class Timed:
    """Something to time.

    Attributes:
        run: does the work.
        flops: multiplications and additions of matrix products and convolutions in one unit.
        units: training steps, or batches, or products that `run` does.
        frames: in one unit.
        precision: whose peak it is compared with.
    """

    run: Callable[[], object]
    flops: float
    units: int
    frames: int = 0
    precision: Precision = "fp32"

    def __call__(self):
        for _ in range(self.units):
            self.run()


class Training:
    """One step of training as the training loop does it, on the same frames each time."""

    def __init__(self, params, *, comparator=None, adversary=False, precision: Precision = "fp32"):
        settings = params.vqgan
        rate = params.lr * settings.lr_scale
        if adversary:
            # What counts are the steps at which the discriminator acts.
            changes = {"enabled": True, "start_step": 0, "r1_weight": 0.0}
            discriminator = settings.discriminator.model_copy(update=changes)
            settings = settings.model_copy(update={"discriminator": discriminator})
        seed_everything(0, "benchmark")
        self.vqgan = Vqgan(vqgan_shape(settings, size=params.extract.frame_size)).train()
        critic = Adversary(settings, learning_rate=rate, seed=0, device=CPU) if adversary else None
        self.precision: Precision = precision
        self.losses = VqganStep(
            self.vqgan,
            settings,
            comparator=comparator,
            adversary=critic,
            runtime=Runtime(device=CPU, precision=precision),
            seed=0,
        )
        self.frames = random_frames(settings.batch_size, params.extract.frame_size)
        self.grad_clip = settings.grad_clip
        self.optimizer = Optimizer(self.vqgan, self.vqgan.matrices, settings, self.losses.runtime)
        self.optimizer.set_learning_rate(rate)
        self.average = WeightAverage(self.vqgan, decay=settings.ema_decay)
        self.number = 0

    def step(self):
        self.optimizer.zero_grad()
        result = self.losses(self.frames, self.number)
        result.loss.backward()
        nn.utils.clip_grad_norm_(self.vqgan.parameters(), self.grad_clip)
        self.optimizer.step()
        self.average.update(self.vqgan)
        self.number += 1

    def timed(self, steps):
        return Timed(
            run=self.step,
            flops=count_flops(self.step),
            units=steps,
            frames=len(self.frames),
            precision=self.precision,
        )


def random_frames(count, size):
    return 2 * torch.rand(count, 3, size, size, generator=generator(0, "benchmark", "frames")) - 1


def count_flops(function):
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def trainings(params):
    """Give name to training of each variant; the first is the plain one."""
    settings = params.vqgan
    variants = {"plain": Training(params)}
    share = with_share(params, settings.comparator_share)
    vgg = with_share(params, VGG_SHARE)
    network = settings.comparator
    comparator = None if network == "none" else found(network)
    if comparator is not None:
        seen = told_share(network, share)
        variants[f"+ {seen}"] = Training(share, comparator=comparator)
    if settings.discriminator.r1_weight > 0:
        print("left out: R1 of the discriminator; torch cannot count the work of its gradient")
    variants["+ discriminator"] = Training(params, adversary=True)
    if comparator is not None:
        variants[f"+ {network} + discriminator"] = Training(
            share, comparator=comparator, adversary=True
        )
    if (comparator := found("vgg")) is not None:
        variants[f"+ {told_share('vgg', vgg)}"] = Training(vgg, comparator=comparator)
    variants["plain, bf16"] = Training(params, precision="bf16")
    return variants


def with_share(params, share):
    settings = params.vqgan.model_copy(update={"comparator_share": share})
    return params.model_copy(update={"vqgan": settings})


def told_share(network, params):
    return f"{network}, {compared_frames(params.vqgan)} of {params.vqgan.batch_size} frames"


def found(network):
    if locate(LPIPS_TRUNKS[network]) is None:
        print(f"left out: comparator {network}; `cvg weights fetch` gets its weights")
        return None
    return Comparator(load_lpips(network, device=CPU))


def peaks(vqgan, frames, *, matrix):
    """Give what the processor is asked at best: by operation and precision, something to time."""
    grid, width = busiest_grid(vqgan, frames), vqgan.shape.width
    # Each call does about as much work as the product of two large matrices.
    repeats = 20 if matrix == MATRIX else 1
    timed = {}
    for precision, dtype in DTYPES.items():
        left, right = torch.rand(2, matrix, matrix).to(dtype)
        features = torch.rand(len(frames), width, grid, grid).to(dtype)
        kernel = torch.rand(width, width, 3, 3).to(dtype)
        operations = {
            ("matmul", precision): (partial(torch.mm, left, right), 1),
            ("convolution", precision): (partial(F.conv2d, features, kernel, padding=1), repeats),
        }
        for name, (run, units) in operations.items():
            timed[name] = Timed(run=run, flops=count_flops(run), units=units, precision=precision)
    print(
        f"peak: matmul {matrix} x {matrix}; convolution 3 x 3, forward, {len(frames)} frames, "
        f"{width} channels, grid {grid} x {grid} (where most of the model's work is)"
    )
    return timed


@torch.no_grad()
def busiest_grid(vqgan, frames):
    """Give the rows of the grid where the convolutions multiply most."""
    work = Counter()

    def note(convolution, _, output):
        work[output.shape[-1]] += output.numel() * convolution.weight[0].numel()

    convolutions = [module for module in vqgan.modules() if isinstance(module, nn.Conv2d)]
    hooks = [convolution.register_forward_hook(note) for convolution in convolutions]
    copy_in_evaluation(vqgan)(frames[:1])
    for hook in hooks:
        hook.remove()
    return work.most_common(1)[0][0]


def copy_in_evaluation(vqgan):
    return copy.deepcopy(vqgan).eval().requires_grad_(False)


def encodings(vqgan, *, frames):
    """Give batch size to the encoding of about `frames` frames in batches of that size."""
    timed = {}
    for size in ENCODE_BATCHES:
        run = partial(vqgan.encode, random_frames(size, vqgan.shape.size))
        timed[size] = Timed(
            run=run, flops=count_flops(run), units=max(1, frames // size), frames=size
        )
    return timed


def against_processor(params, work):
    """Print what the processor can do at best, and what share training and encoding reach."""
    variants = {name: made.timed(work.steps) for name, made in trainings(params).items()}
    plain = Training(params)
    plain.step()
    vqgan = copy_in_evaluation(plain.vqgan)
    best = peaks(vqgan, plain.frames, matrix=work.matrix)
    encoded = encodings(vqgan, frames=work.encoded)
    everything = best | variants | encoded
    times = alternate(everything, work.rounds)
    print_peaks(best, times)
    medians = {
        name: statistics.median(times[name]) / timed.units for name, timed in everything.items()
    }
    print_training(variants, best, medians)
    print_encoding(encoded, best, medians)
    largest = max(encoded)
    return [
        share_row("VQGAN: training", variants["plain"], medians["plain"], best, medians),
        share_row(f"VQGAN: encoding {largest}", encoded[largest], medians[largest], best, medians),
    ]


def print_peaks(best, times):
    named = {
        f"{operation}, {precision}": times[operation, precision] for operation, precision in best
    }
    rows = [
        row_of(
            named,
            f"{operation}, {precision}",
            work=timed.units * timed.flops / 1e9,
            unit="GFLOP/s",
        )
        for (operation, precision), timed in best.items()
    ]
    print_table(rows)


def print_training(variants, best, medians):
    plain = medians["plain"]
    lines = []
    for name, timed in variants.items():
        seconds = medians[name]
        cost = ["", ""]
        if name.startswith("+"):
            cost = [f"{1000 * (seconds - plain):.1f}", f"{(seconds - plain) / seconds:.0%}"]
        lines.append([name, *speed(timed, seconds, best, medians), *cost])
    print()
    print_columns(["training", *SPEED, "cost, ms", "of step"], lines)
    reached = shares(variants["plain"], plain, best, medians)
    print(
        f"goal: plain training at {GOAL:.2f} of the peak or more; reached {reached[0]:.2f} of the "
        f"convolution's, {reached[1]:.2f} of matmul's (the same precision each)"
    )


def print_encoding(encoded, best, medians):
    lines = [
        [f"batches of {size}", *speed(timed, medians[size], best, medians)]
        for size, timed in encoded.items()
    ]
    print()
    print_columns(["encoding", *SPEED], lines)


SPEED = ["ms", "a second", "frames/s", "GFLOP", "of conv.", "of matmul"]


def speed(timed, seconds, best, medians):
    """Give the columns of `SPEED` for one step or batch."""
    return [
        f"{1000 * seconds:.1f}",
        f"{1 / seconds:.2f}",
        f"{timed.frames / seconds:.0f}",
        f"{timed.flops / 1e9:.2f}",
        *(f"{share:.2f}" for share in shares(timed, seconds, best, medians)),
    ]


def shares(timed, seconds, best, medians):
    """Give the reached share of the peak of convolutions and of matrix products."""
    names = [(operation, timed.precision) for operation in ("convolution", "matmul")]
    return [timed.flops / seconds / (best[name].flops / medians[name]) for name in names]


def share_row(name, timed, seconds, best, medians):
    """Give frames a second beside those of a processor that only did the best convolution."""
    frames, share = timed.frames / seconds, shares(timed, seconds, best, medians)[0]
    return Row(
        name=name,
        value=frames,
        best=frames,
        unit="frames/s",
        peer="the best convolution",
        peer_value=frames / share,
        ratio=share,
    )


def print_columns(head, lines):
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    for line in [head, *lines]:
        first, *others = (f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True))
        print("  ".join([first.strip().ljust(widths[0]), *others]))


class Peer:
    """The VQModel of diffusers, with the grid of our finest level and as many parameters."""

    def __init__(self, vqgan, channels):
        self.channels = channels
        self.model = vq_model(vqgan.shape, channels)

    def loss(self, frames):
        result = self.model(frames)
        return F.mse_loss(result.sample, frames) + result.commit_loss


class Ours:
    """Our model, with the losses that the peer has."""

    def __init__(self, vqgan):
        self.model = vqgan

    def loss(self, frames):
        result = self.model(frames)
        commitment = sum(quantized.commitment_loss for quantized in result.levels.values())
        return F.mse_loss(result.frames, frames) + commitment


def forward(side, frames, repeats):
    side.model.eval()
    with torch.no_grad():
        for _ in range(repeats):
            side.model(frames)


def forward_and_backward(side, frames, repeats):
    side.model.train()
    for _ in range(repeats):
        side.model.zero_grad(set_to_none=True)
        side.loss(frames).backward()


def against_diffusers(params, work):
    """Give the rows of our model beside that of diffusers, where it is installed."""
    if importlib.util.find_spec("diffusers") is None:
        print("left out: the VQModel of diffusers; `pip install -e '.[bench]'` installs it")
        return []
    training = Training(params)
    shape = training.vqgan.shape
    if shape.size != PEER_STEP * shape.grid(shape.levels[-1]):
        print(f"left out: the VQModel of diffusers; our grid is not 1 / {PEER_STEP} of the frame")
        return []
    training.step()
    ours, frames = Ours(training.vqgan), training.frames[:PEER_BATCH]
    peers = peer_channels(ours.model)
    if not peers:
        print(
            f"left out: the VQModel of diffusers; none has {count_parameters(ours.model):,} "
            f"parameters, {TOLERANCE:.0%} more or less, at the channels that are tried"
        )
        return []
    sides = {"ours": ours} | {
        f"VQModel {'-'.join(map(str, channels))}": Peer(ours.model, channels) for channels in peers
    }
    print()
    for name, side in sides.items():
        print(
            f"{name}: {count_parameters(side.model):,} parameters, "
            f"{count_flops(partial(forward, side, frames[:1], 1)) / 1e9:.2f} GFLOP a frame"
        )
    rows = []
    for kind, function in (("forward", forward), ("forward, backward", forward_and_backward)):
        functions = {
            name: partial(function, side, frames, work.steps) for name, side in sides.items()
        }
        times = alternate(functions, work.rounds)
        named = {(f"ours, {kind}" if name == "ours" else name): times[name] for name in times}
        make = partial(
            row_of, named, f"ours, {kind}", work=work.steps * PEER_BATCH, unit="frames/s"
        )
        rows += [make(peer=name) for name in sides if name != "ours"]
    return rows


def peer_channels(vqgan):
    """Find channels of the VQModel: the most usual ones, and those with the least work.

    None where no proportions give about as many parameters as ours.
    """
    expected = count_parameters(vqgan)
    fitting = {}
    for proportions in PROPORTIONS:
        for width in PEER_WIDTHS:
            channels = tuple(width * multiple for multiple in proportions)
            with torch.device("meta"):
                model = vq_model(vqgan.shape, channels).eval()
            ratio = count_parameters(model) / expected
            if abs(ratio - 1) <= TOLERANCE:
                frame = torch.zeros(1, 3, vqgan.shape.size, vqgan.shape.size, device="meta")
                fitting[channels] = count_flops(partial(model, frame))
            if ratio > 1 + TOLERANCE:
                break
    if not fitting:
        return []
    return list(dict.fromkeys([next(iter(fitting)), min(fitting, key=fitting.__getitem__)]))


def vq_model(shape, channels):
    from diffusers.models.autoencoders.vq_model import VQModel  # the import takes seconds

    return VQModel(
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        block_out_channels=channels,
        latent_channels=shape.quantizer.code_dim,
        num_vq_embeddings=shape.quantizer.codebook_size,
        norm_num_groups=8,
        sample_size=shape.size,
    )


def count_parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def print_profile(params):
    """Print where the time of a plain step goes."""
    training = Training(params)
    for _ in range(3):
        training.step()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        training.step()
    print(profiled.key_averages().table(sort_by="self_cpu_time_total", row_limit=10))


@dataclass(frozen=True, kw_only=True)
class Work:
    """How much is measured."""

    rounds: int
    steps: int
    matrix: int = MATRIX
    encoded: int = ENCODED


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of everything in turn")
    parser.add_argument("--steps", type=int, default=STEPS, help="timed as one")
    parser.add_argument(
        "--quick", "--small", action="store_true", help="little work; no figures to keep"
    )
    parser.add_argument(
        "--profile", action="store_true", help="only the ten most expensive operators of a step"
    )
    add_json_option(parser)
    arguments = parser.parse_args()
    if arguments.rounds < 1 or arguments.steps < 1:
        sys.exit("--rounds and --steps must be at least 1")
    params = load_params(Path("params.yaml"))
    if arguments.profile:
        print_profile(params)
    else:
        work = Work(rounds=arguments.rounds, steps=arguments.steps)
        if arguments.quick:
            work = Work(rounds=1, steps=1, matrix=256, encoded=1)
        rows = against_processor(params, work) + against_diffusers(params, work)
        print()
        report(rows, arguments.json)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
