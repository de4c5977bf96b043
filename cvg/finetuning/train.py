"""Fine-tuning of trained transformers: cross-entropy, and beside it what makes samples better.

Two ways, docs/critic.md compares them:

- teach: one frame is imagined after real ones, or after own samples, and the gradient of the
  temporal critic passes the frozen decoder and the codes to the logits of that frame;
- reward: real clips are to gain likelihood over the model's own samples, each level by itself.
"""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import nn

from cvg.codes.store import CodeStore
from cvg.config import DrawParams, FinetuneParams, Level, TransformerParams
from cvg.critic.store import TrainedCritic
from cvg.errors import UserError
from cvg.finetuning.materials import Materials
from cvg.finetuning.own import OwnClips, write_own
from cvg.finetuning.reward import Reward
from cvg.finetuning.teach import Teacher
from cvg.finetuning.watch import Weight
from cvg.sampling.models import Models
from cvg.seeding import derive_seed, seed_everything
from cvg.tensors import Float, Tensor
from cvg.training.adversarial import gradient_ratio
from cvg.training.job import Stateful
from cvg.training.loop import Job, StepResult, Surroundings, Trained, train
from cvg.transformer.model import Transformer
from cvg.transformer.store import TrainedTransformer
from cvg.transformer.train import LevelTask


@dataclass(frozen=True, kw_only=True)
class FinetuneRun:
    """The outcome: all transformers, those that were not tuned too."""

    transformers: Mapping[str, TrainedTransformer]
    trained: Trained

    def held_out(self, level: str) -> dict[str, float] | None:
        """Give the held-out figures of a level; None where it was not tuned."""
        end = f"_{level}"
        figures = {
            name.removesuffix(end): value
            for name, value in self.trained.best.items()
            if name.endswith(end)
        }
        return figures or None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The parts of params.yaml that fine-tuning obeys."""

    finetune: FinetuneParams
    transformer: TransformerParams
    draw: DrawParams


def finetune(
    store: CodeStore,
    models: Models,
    critic: TrainedCritic,
    settings: Settings,
    around: Surroundings,
) -> FinetuneRun:
    """Tune transformers; the last weights by which cross-entropy is kept are the outcome.

    Seeds the global generator, which dropout draws from.

    Args:
        store: codes of the models' VQGAN.
        models: trained, on the device; they are left as they are.
        critic: pretrained, of the same VQGAN.
        settings: parameters.
        around: learning rate, seed, machine, log, checkpoints.

    Raises:
        UserError: a level is not there, segments are too short, parallel order is to be rewarded,
            or the loss is not finite too often.
    """
    params = settings.finetune
    _refuse_unfit(models, params)
    seed_everything(around.seed, "finetune")
    tuned = nn.ModuleDict(
        {
            level: copy.deepcopy(models.transformers[level].model).requires_grad_(True)
            for level in models.transformers
            if level in params.levels
        }
    ).to(around.device)
    for model in _each(tuned).values():
        around.runtime.prepare(model)
    task = _Task(
        store=store,
        models=models,
        critic=critic,
        settings=settings,
        around=replace(around, seed=derive_seed(around.seed, "finetune")),
        tuned=tuned,
    )
    job = Job(
        label="finetune",
        model=tuned,
        train_step=task.train_step,
        validate=task.validate,
        objective="minus_step",
        matrices=lambda: [matrix for one in _each(tuned).values() for matrix in one.matrices],
        layers=[
            f"{level}.{name}" for level, one in _each(tuned).items() for name in one.layer_names
        ],
        roots=list(tuned),
        stateful=task.stateful,
        looks=(0,),
        is_over=task.is_over,
    )
    trained = train(job, params, around)
    return FinetuneRun(
        transformers={
            level: replace(one, model=_each(tuned).get(level, one.model))
            for level, one in models.transformers.items()
        },
        trained=trained,
    )


class _Task:
    """What a step and a look do."""

    def __init__(
        self,
        *,
        store: CodeStore,
        models: Models,
        critic: TrainedCritic,
        settings: Settings,
        around: Surroundings,
        tuned: nn.ModuleDict,
    ) -> None:
        params = settings.finetune
        self._params, self._tuned = params, _each(tuned)
        self._ranks = around.runtime.ranks
        self._levels = {
            level: LevelTask(
                store=store,
                level=cast("Level", level),
                params=settings.transformer,
                around=around,
                conditioning=models.transformers[level].conditioning,
                model=model,
            )
            for level, model in self._tuned.items()
        }
        self._guard = Guard(params, Weight(params.weight, back_off=params.back_off))
        frames = max(settings.transformer.of(level).clip_frames for level in params.levels)
        frames = max(frames, critic.model.shape.frames, 2)
        self._adversary: Teacher | Reward | None = None
        if not params.weight:
            return
        materials = Materials(
            store=store,
            models=models,
            tuned=self._tuned,
            own=_own(store, models, settings, frames=frames, seed=around.seed),
            params=params,
            frames=frames,
            around=around,
        )
        self._adversary = (
            Teacher(materials, critic, self._guard.weight)
            if params.method == "teach"
            else Reward(materials)
        )

    @property
    def stateful(self) -> dict[str, Stateful]:
        """What a checkpoint must hold."""
        parts: dict[str, Stateful] = {"guard": self._guard}
        if isinstance(self._adversary, Teacher):
            parts["adversary"] = self._adversary.adversary
        return parts

    def train_step(self, step: int, part: int) -> StepResult:
        """Give the cross-entropy of all levels, and the weighted loss of the adversary."""
        self._guard.steps = step + 1
        figures: dict[str, Tensor] = {}
        losses = []
        for level, task in self._levels.items():
            result = task.train_step(step, part)
            losses.append(result.loss)
            figures |= {f"{name}_{level}": value for name, value in result.figures.items()}
        loss = torch.stack(losses).sum()
        if self._adversary is None:
            return StepResult(loss=loss, figures=figures)
        adversarial, others = self._adversary(step, part)
        weight = self._balanced(loss, adversarial)
        figures |= others | {"adversarial": adversarial.detach(), "weight": weight}
        return StepResult(loss=loss + weight * adversarial, figures=figures)

    def validate(self, averaged: nn.Module) -> dict[str, float]:
        """Measure cross-entropy on held-out clips, and heed what it and the critic say."""
        figures: dict[str, float] = {}
        for level, model in _each(cast("nn.ModuleDict", averaged)).items():
            found = self._levels[level].validate(model)
            figures |= {f"{name}_{level}": value for name, value in found.items()}
        # All ranks heed the same figures.
        figures = self._ranks.of_first(figures)
        if isinstance(self._adversary, Teacher):
            self._adversary.adversary.look()
        entropies = {level: figures[f"nll_{level}"] for level in self._levels}
        return figures | {"minus_step": self._guard.look(entropies)}

    def is_over(self) -> bool:
        """Say whether the critic is of no use any more."""
        return isinstance(self._adversary, Teacher) and self._adversary.adversary.watch.stopped

    def _balanced(
        self, loss: Float[Tensor, ""], adversarial: Float[Tensor, ""]
    ) -> Float[Tensor, ""]:
        """Give the weight, capped so that the adversary does not pull too hard at the logits."""
        at = [model.head.project.weight for model in self._tuned.values()]
        ratio = gradient_ratio(loss, adversarial, at=at, ranks=self._ranks)
        # What lowers the weight lowers the cap too, or it would change nothing where that acts.
        weight = self._guard.weight
        return (weight.share * self._params.max_ratio * ratio).clamp(max=weight.value)


def _own(
    store: CodeStore, models: Models, settings: Settings, *, frames: int, seed: int
) -> OwnClips | None:
    params = settings.finetune
    if params.method == "teach" and params.own_share == 0:
        return None
    return write_own(models, store, settings.draw, clips=params.own_clips, frames=frames, seed=seed)


class Guard:
    """Holds cross-entropy: what made it rise is turned down, and the weights are not kept."""

    def __init__(self, params: FinetuneParams, weight: Weight) -> None:
        """Guard a run from its first look on."""
        self.steps = 0  # that were begun
        self.weight = weight
        self._most = 1 + params.max_rise
        self._before: dict[str, float] = {}

    def look(self, entropies: Mapping[str, float]) -> float:
        """Compare with the first look.

        Args:
            entropies: held-out cross-entropy by level, nats a code.

        Returns:
            minus the number of steps, so that the last weights are the best ones; NaN where
            cross-entropy has risen too far, which are none.
        """
        self._before = self._before or dict(entropies)
        rises = {level: value / self._before[level] for level, value in entropies.items()}
        worst = max(rises, key=lambda level: rises[level])
        if all(rise <= self._most for rise in rises.values()):  # no NaN is
            return -float(self.steps)
        self.weight.lower(
            f"the held-out cross-entropy of {worst} has risen by {rises[worst] - 1:.1%} to "
            f"{entropies[worst]:.4g} nats; at most {self._most - 1:.1%} is allowed"
        )
        return math.nan

    def state_dict(self) -> dict[str, object]:
        """Give the first look, the steps and the weight."""
        return {"steps": self.steps, "before": self._before, "weight": self.weight.state_dict()}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Go on from a state."""
        self.steps = cast("int", state["steps"])
        self._before = dict(cast("dict[str, float]", state["before"]))
        self.weight.load_state_dict(cast("dict[str, float]", state["weight"]))


def _each(tuned: nn.ModuleDict) -> dict[str, Transformer]:
    return {level: cast("Transformer", model) for level, model in tuned.items()}


def _refuse_unfit(models: Models, params: FinetuneParams) -> None:
    unknown = [level for level in params.levels if level not in models.transformers]
    if unknown:
        raise UserError(
            f"finetune.levels: found {', '.join(unknown)}; the models have "
            f"{', '.join(models.transformers)}"
        )
    if params.method == "reward" and models.finest.model.shape.order != "raster":
        raise UserError(
            "finetune.method: reward needs likelihoods, which transformers of parallel order do "
            "not have; take teach, or train with transformer.order: raster"
        )
