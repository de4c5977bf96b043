"""Training of the hierarchical VQGAN."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from cvg.config import VqganParams
from cvg.frames.batches import FrameBatches
from cvg.frames.store import FrameStore
from cvg.seeding import generator, seed_everything
from cvg.training.loop import Job, StepResult, Surroundings, Trained, train
from cvg.training.messages import tell, warn
from cvg.training.ranks import require_share
from cvg.vqgan.adversary import Adversary
from cvg.vqgan.augment import augment
from cvg.vqgan.comparator import Comparator
from cvg.vqgan.health import measure_health
from cvg.vqgan.model import Vqgan, VqganShape
from cvg.vqgan.quantizer import FRAMES_TOGETHER
from cvg.vqgan.quantizers import QuantizerShape
from cvg.vqgan.step import VqganStep, compared_frames, successive_frames

VALIDATION_BATCH = 64
# Enough for a steady figure; a larger held-out set is thinned out evenly.
MOST_VALIDATION_FRAMES = 4096
ALIVE = 0.1  # share of the codes in reach; a level that uses less is told


@dataclass(frozen=True, kw_only=True)
class TrainedVqgan:
    """The best VQGAN of a run."""

    vqgan: Vqgan
    trained: Trained


def train_vqgan(
    store: FrameStore,
    params: VqganParams,
    *,
    comparator: Comparator | None,
    around: Surroundings,
) -> TrainedVqgan:
    """Train on the training frames; the weights with the best held-out figure are kept.

    That figure is LPIPS where there is a comparator, and otherwise the squared error. It is also
    looked at just before the discriminator acts, so that what is kept is never worse by it than
    what was there before.

    Seeds the global generator, which initialisation and the restart of codes draw from.

    Args:
        store: the frames.
        params: shape, losses and training.
        comparator: perceptual loss, or None for none.
        around: learning rate, seed, machine, log, checkpoints.
    """
    seed, device = around.seed, around.device
    seed_everything(seed, "vqgan")
    ranks = around.runtime.ranks
    require_share(params.batch_size, ranks, field="vqgan.batch_size", together=FRAMES_TOGETHER)
    vqgan = Vqgan(vqgan_shape(params, size=store.size[0])).to(device)
    vqgan.train_on(ranks)
    _warn_of_idle_codes(store, vqgan.shape)
    adversary = (
        Adversary(params, learning_rate=around.learning_rate, seed=seed, device=device, ranks=ranks)
        if params.discriminator.enabled
        else None
    )
    losses = VqganStep(
        vqgan,
        params,
        comparator=comparator,
        adversary=adversary,
        runtime=around.runtime,
        seed=seed,
    )
    successive = successive_frames(params)
    share = ranks.share(params.batch_size, together=FRAMES_TOGETHER)
    training = FrameBatches(store, "train", successive=successive)
    held_out = FrameBatches(store, "held_out")
    if comparator is not None:
        _tell_cost(comparator, training, params, around)

    def train_step(step: int, part: int) -> StepResult:
        rng = generator(seed, "vqgan", "batch", step, part)
        frames = training.random(params.batch_size, rng=rng, share=share)
        frames = augment(
            frames,
            flip=params.flip,
            shift=params.shift,
            successive=successive,
            rng=rng,
            share=share.groups(successive),
        )
        return losses(frames.to(device), step, part)

    validated = min(store.num_frames("held_out"), MOST_VALIDATION_FRAMES)
    told: set[str] = set()

    def validate(averaged: nn.Module) -> dict[str, float]:
        assert isinstance(averaged, Vqgan)
        batches = held_out.in_order(VALIDATION_BATCH, most=MOST_VALIDATION_FRAMES)
        figures = measure_health(averaged, batches, comparator=comparator, ranks=ranks)
        _warn_of_dead_codes(figures, vqgan.shape, frames=validated, told=told)
        return figures

    job = Job(
        label="train-vqgan",
        model=vqgan,
        train_step=train_step,
        validate=validate,
        objective="l2" if comparator is None else comparator.figure,
        matrices=lambda: vqgan.matrices,
        stateful={"adversary": adversary} if adversary else {},
        looks=tuple(step for step in (params.discriminator.start_step,) if adversary and step),
    )
    trained = train(job, params, around)
    return TrainedVqgan(vqgan=vqgan, trained=trained)


def vqgan_shape(params: VqganParams, *, size: int) -> VqganShape:
    """Take from the parameters what rebuilds the network."""
    fsq = params.quantizer == "fsq"
    return VqganShape(
        size=size,
        levels=tuple(params.levels),
        width=params.width,
        blocks=params.blocks,
        stem=params.stem,
        halvings=params.halvings,
        norm=params.norm,
        quantizer=QuantizerShape(
            kind=params.quantizer,
            codebook_size=params.codebook_size,
            code_dim=len(params.fsq_levels) if fsq else params.code_dim,
            decay=params.codebook_decay,
            restart_below=params.restart_below,
            normalize=params.normalize,
            fsq_levels=tuple(params.fsq_levels),
        ),
        rate_weights=tuple(getattr(params.rate_weight, level) for level in params.levels),
    )


def _warn_of_idle_codes(store: FrameStore, shape: VqganShape) -> None:
    """Say so where the data have fewer places than a codebook has codes."""
    size = shape.quantizer.codebook_size
    for level in shape.levels:
        places = store.num_frames("train") * shape.grid(level) ** 2
        if places < size:
            warn(
                f"vqgan.codebook_size is {size}, but all training frames together have only "
                f"{places} {level} codes: the others can never be used; lower codebook_size, or "
                "add videos"
            )


def _warn_of_dead_codes(
    figures: Mapping[str, float], shape: VqganShape, *, frames: int, told: set[str]
) -> None:
    """Say so where a level uses next to nothing of its codebook; once a level, noted in `told`."""
    size = shape.quantizer.codebook_size
    for level in shape.levels:
        used = figures[f"usage_{level}"] * size
        in_reach = min(size, frames * shape.grid(level) ** 2)
        if used < ALIVE * in_reach and level not in told:
            told.add(level)
            warn(
                f"level {level}: only {used:.0f} of {size} codes occur on held-out frames, the "
                "others are dead. If this does not pass, lower lr or vqgan.codebook_size, raise "
                "vqgan.restart_below, or take vqgan.quantizer: fsq"
            )


def _tell_cost(
    comparator: Comparator, training: FrameBatches, params: VqganParams, around: Surroundings
) -> None:
    count = compared_frames(params)
    frames = training.random(params.batch_size, rng=generator(around.seed, "vqgan", "cost"))
    with around.runtime.autocast():
        seconds = comparator.cost(frames[:count].to(around.device))
    tell(
        f"train-vqgan: the comparator ({params.comparator}) sees {count} of {params.batch_size} "
        f"frames, about {1000 * seconds:.0f} ms a step"
    )
