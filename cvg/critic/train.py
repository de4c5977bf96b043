"""Pretraining of the critic: real clips against the same frames in a wrong order, pace or look."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import nn

from cvg.codes.store import CodeStore
from cvg.conditions.condition import KINDS
from cvg.conditions.conditioning import Conditioning
from cvg.conditions.dropout import drop_at_random
from cvg.config import ConditionsParams, CriticParams
from cvg.critic.auc import area_under_curve
from cvg.critic.corruptions import CORRUPTIONS, Corruption, draw_kinds, span
from cvg.critic.examples import ExampleMaker, clip_frames
from cvg.critic.judge import critic_loss, judge
from cvg.critic.model import Critic, CriticShape
from cvg.critic.sight import Sight
from cvg.critic.store import TrainedCritic
from cvg.seeding import generator, seed_everything
from cvg.training.loop import Job, StepResult, Surroundings, Trained, train
from cvg.training.messages import warn
from cvg.transformer.conditioning import collect_conditioning
from cvg.vqgan.model import Vqgan

# Enough for a steady figure; a larger held-out set is thinned out evenly.
MOST_VALIDATION_CLIPS = 128


@dataclass(frozen=True, kw_only=True)
class CriticRun:
    """The best critic of a run."""

    critic: TrainedCritic
    trained: Trained


def train_critic(
    store: CodeStore,
    vqgan: Vqgan,
    params: CriticParams,
    conditions: ConditionsParams,
    around: Surroundings,
    *,
    start: TrainedCritic | None = None,
) -> CriticRun:
    """Train on the training codes; the best weights by held-out cross-entropy are kept.

    Seeds the global generator, which initialisation and dropout draw from.

    Args:
        store: codes of `vqgan`.
        vqgan: frozen.
        params: of the critic.
        conditions: what is known of videos.
        around: learning rate, seed, machine, log, checkpoints.
        start: a pretrained critic, whose weights are taken over where they fit.

    Raises:
        UserError: segments are too short, or the loss is not finite too often.
    """
    seed_everything(around.seed, "critic")
    sight = Sight(vqgan=vqgan.to(around.device), input=params.input)
    conditioning = collect_told(store, params, conditions)
    critic = Critic(critic_shape(params, sight, conditioning)).to(around.device)
    if start is not None:
        alike = start.conditioning.vocabulary == conditioning.vocabulary
        left_out = take_over(critic, start.model, conditions=alike)
        if left_out:
            warn(f"train-critic: begins without what does not fit of it: {', '.join(left_out)}")
    task = _Task(store=store, params=params, sight=sight, conditioning=conditioning, around=around)
    job = Job(
        label="train-critic",
        model=critic,
        train_step=lambda step, part: task.train_step(critic, step, part),
        validate=task.validate,
        objective="cross_entropy",
        matrices=lambda: critic.matrices,
    )
    trained = train(job, params, around)
    kept = TrainedCritic(
        model=critic, input=params.input, conditioning=conditioning, vqgan_hash=store.vqgan_hash
    )
    return CriticRun(critic=kept, trained=trained)


def collect_told(
    store: CodeStore, params: CriticParams, conditions: ConditionsParams
) -> Conditioning:
    """Find out what the critic can be told: of what it is to be told, what the videos have."""
    kept = {kind: conditions.share_dropped(kind) for kind in params.conditions}
    dropout = conditions.dropout.model_copy(
        update={kind: kept.get(kind, 1.0) for kind in type(conditions.dropout).model_fields}
    )
    told = conditions.model_copy(update={"dropout": dropout, "strides": [1]})
    return collect_conditioning(store, told, clip_frames=span(clip_frames(params)))


def critic_shape(params: CriticParams, sight: Sight, conditioning: Conditioning) -> CriticShape:
    """Take from the parameters what rebuilds the network."""
    told = bool(conditioning.kinds)
    return CriticShape(
        frames=params.frames,
        channels=sight.channels,
        size=sight.size,
        cells=halved(sight.size, most=params.cells),
        width=params.width,
        layers=params.layers,
        heads=params.heads,
        dropout=params.dropout,
        picture_dropout=params.picture_dropout,
        num_conditions=conditioning.vocabulary.size if told else 0,
        condition_length=conditioning.vocabulary.length if told else 0,
        sentence_width=conditioning.sentence_width if told else 0,
    )


def halved(size: int, *, most: int) -> int:
    """Halve a size until it is `most` or less, or odd.

    >>> halved(64, most=4), halved(96, most=4), halved(40, most=4)
    (4, 3, 5)
    """
    while size > most and size % 2 == 0:
        size //= 2
    return size


def take_over(critic: Critic, start: Critic, *, conditions: bool) -> list[str]:
    """Copy the weights of another critic where names and shapes agree; give what was left out.

    Args:
        critic: to be filled.
        start: to be copied.
        conditions: whether both are told the same, by the same numbers.
    """
    own, given = critic.state_dict(), start.state_dict()
    fitting = {
        name: tensor
        for name, tensor in given.items()
        if name in own
        and own[name].shape == tensor.shape
        and (conditions or not name.startswith("condition."))
    }
    critic.load_state_dict(own | fitting)
    return sorted(set(own) - set(fitting))


class _Task:
    """What a step and a look do."""

    def __init__(
        self,
        *,
        store: CodeStore,
        params: CriticParams,
        sight: Sight,
        conditioning: Conditioning,
        around: Surroundings,
    ) -> None:
        self._params, self._around = params, around
        self._training, self._held_out = (
            ExampleMaker(store, split, sight, conditioning, params)
            for split in ("train", "held_out")
        )

    def train_step(self, critic: Critic, step: int, part: int) -> StepResult:
        """Give the loss of random clips, half of them corrupted."""
        ranks = self._around.runtime.ranks
        share = ranks.share(self._params.batch_size)
        ranks.reseed(self._around.seed, "critic", step, part)
        rng = generator(self._around.seed, "critic", "batch", step, part)
        kinds = draw_kinds(self._params.batch_size, rng=rng)
        examples = self._training.random(kinds, rng=rng, share=share)
        conditions = drop_at_random(
            examples.conditions,
            dict.fromkeys(KINDS, 0.0),
            everything=self._params.condition_dropout,
            rng=rng,
            share=share,
        )
        with self._around.runtime.autocast():
            judged = judge(critic, examples.pictures, conditions.to(self._around.device))
        return critic_loss(judged, examples, pair_weight=self._params.pair_weight)

    @torch.no_grad()
    def validate(self, averaged: nn.Module) -> dict[str, float]:
        """Measure on held-out clips, in turn as they are and with each corruption.

        Returns:
            `cross_entropy` of clips, in nats, real and corrupted ones weighing the same; `auc_*`,
            how well real clips are told from those of each corruption; `auc`, the mean of these.
        """
        critic = cast("Critic", averaged)
        kinds: tuple[Corruption | None, ...] = (None, *CORRUPTIONS)
        scores: dict[Corruption | None, list[np.ndarray]] = {kind: [] for kind in kinds}
        size = self._params.batch_size
        batches = self._held_out.in_order(size, most=MOST_VALIDATION_CLIPS)
        for number, batch in enumerate(batches):
            for kind in kinds:
                rng = generator(0, "critic", "validation", number, kind or "real")
                examples = self._held_out.corrupted(batch, [kind] * len(batch.segments), rng=rng)
                conditions = examples.conditions.to(self._around.device)
                judged = judge(critic, examples.pictures, conditions)
                scores[kind].append(judged.clips.cpu().numpy())
        found = {kind: np.concatenate(parts) for kind, parts in scores.items()}
        real = found.pop(None)
        wrong = [np.logaddexp(0, part.mean(1)).mean() for part in found.values()]
        right = np.logaddexp(0, -real.mean(1)).mean()
        areas = {
            f"auc_{kind}": area_under_curve(real.mean(1), part.mean(1))
            for kind, part in found.items()
        }
        return {
            "cross_entropy": float(0.5 * right + 0.5 * np.mean(wrong)),
            "auc": float(np.mean(list(areas.values()))),
        } | areas
