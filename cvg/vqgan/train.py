"""Training of the hierarchical VQGAN."""

from dataclasses import dataclass

from torch import nn

from cvg.config import VqganParams
from cvg.frames.batches import FrameBatches
from cvg.frames.store import FrameStore
from cvg.seeding import generator, seed_everything
from cvg.training.loop import Job, StepResult, Surroundings, Trained, train
from cvg.vqgan.augment import augment
from cvg.vqgan.comparator import Comparator
from cvg.vqgan.health import measure_health
from cvg.vqgan.model import Vqgan, VqganShape
from cvg.vqgan.step import VqganStep

VALIDATION_BATCH = 64


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
    """Train on the training frames; the best weights by held-out squared error are kept.

    Seeds the global generator, which initialisation and the restart of codes draw from.

    Args:
        store: the frames.
        params: shape, losses and training.
        comparator: perceptual loss, or None for none.
        around: learning rate, seed, device, log.
    """
    seed, device = around.seed, around.device
    seed_everything(seed, "vqgan")
    vqgan = Vqgan(vqgan_shape(params, size=store.size[0])).to(device)
    training, held_out = FrameBatches(store, "train"), FrameBatches(store, "held_out")
    losses = VqganStep(
        vqgan, params, comparator=comparator, learning_rate=around.learning_rate, seed=seed
    )

    def train_step(step: int) -> StepResult:
        rng = generator(seed, "vqgan", "batch", step)
        frames = training.random(params.batch_size, rng=rng)
        frames = augment(frames, flip=params.flip, shift=params.shift, rng=rng)
        return losses(frames.to(device), step)

    def validate(averaged: nn.Module) -> dict[str, float]:
        assert isinstance(averaged, Vqgan)
        return measure_health(
            averaged, (frames.to(device) for frames in held_out.in_order(VALIDATION_BATCH))
        )

    job = Job(
        label="train-vqgan",
        model=vqgan,
        train_step=train_step,
        validate=validate,
        objective="l2",
    )
    trained = train(job, params, around)
    return TrainedVqgan(vqgan=vqgan, trained=trained)


def vqgan_shape(params: VqganParams, *, size: int) -> VqganShape:
    """Take from the parameters what rebuilds the network."""
    return VqganShape(
        size=size,
        width=params.width,
        blocks=params.blocks,
        stem=params.stem,
        codebook_size=params.codebook_size,
        code_dim=params.code_dim,
        codebook_decay=params.codebook_decay,
        restart_below=params.restart_below,
    )
