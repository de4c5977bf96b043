"""Training of the transformer of one level."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from cvg.codes.batches import CodeBatch, CodeBatches
from cvg.codes.corrupt import corrupt
from cvg.codes.layout import Layout, layout_of
from cvg.codes.store import CodeStore
from cvg.conditions.batch import Conditions
from cvg.conditions.condition import KINDS, Kind
from cvg.conditions.conditioning import Conditioning
from cvg.conditions.dropout import drop_at_random
from cvg.config import Level, LevelParams, TransformerParams
from cvg.errors import UserError
from cvg.seeding import generator, seed_everything
from cvg.tensors import Bool, Float, Int64, Tensor
from cvg.training.loop import Job, StepResult, Surroundings, Trained, train
from cvg.training.ranks import ALONE, Ranks, add_up
from cvg.transformer.conditioning import action_spread, collect_conditioning, known_conditions
from cvg.transformer.model import Goal, Transformer, TransformerShape
from cvg.transformer.store import TrainedTransformer

# Enough for a steady figure; a larger held-out set is thinned out evenly.
MOST_VALIDATION_CLIPS = 256
# Clips at once: the batch of many ranks together may be more than one of them has room for.
VALIDATION_BATCH = 16


@dataclass(frozen=True, kw_only=True)
class TransformerRun:
    """The best transformer of a run."""

    transformer: TrainedTransformer
    trained: Trained


def train_transformer(
    store: CodeStore,
    level: Level,
    params: TransformerParams,
    around: Surroundings,
) -> TransformerRun:
    """Train on the training codes; the best weights by held-out cross-entropy are kept.

    Seeds the global generator, which initialisation and dropout draw from.

    Raises:
        UserError: the codes do not have the level, or the loss is not finite too often.
    """
    _refuse_missing_level(store, level)
    seed_everything(around.seed, "transformer", level)
    layout, own = layout_of(level, store.grids), params.of(level)
    conditioning = collect_conditioning(store, params.conditions, clip_frames=own.clip_frames)
    model = _build(store, layout, conditioning, params, own).to(around.device)
    task = LevelTask(
        store=store,
        level=level,
        params=params,
        around=around,
        conditioning=conditioning,
        model=model,
    )
    job = Job(
        label=f"train-transformer {level}",
        model=model,
        train_step=task.train_step,
        validate=task.validate,
        objective="nll",
        matrices=lambda: model.matrices,
        layers=model.layer_names,
    )
    trained = train(job, own, around)
    kept = TrainedTransformer(model=model, conditioning=conditioning, vqgan_hash=store.vqgan_hash)
    return TransformerRun(transformer=kept, trained=trained)


class LevelTask:
    """What a step and a look do."""

    def __init__(
        self,
        *,
        store: CodeStore,
        level: Level,
        params: TransformerParams,
        around: Surroundings,
        conditioning: Conditioning,
        model: Transformer,
    ) -> None:
        """Prepare the clips of both splits.

        Args:
            store: of the codes.
            level: whose codes are learned.
            params: of all transformers.
            around: seed and machine.
            conditioning: what the model takes.
            model: that is trained.
        """
        self._level, self._own, self._params = level, params.of(level), params
        self._around, self._conditioning, self._model = around, conditioning, model
        self._ranks = around.runtime.ranks
        length, layout = self._own.clip_frames, model.layout
        self._shares: dict[Kind, float] = {
            kind: params.conditions.share_dropped(kind) for kind in KINDS
        }
        self._training = CodeBatches(
            store, "train", layout=layout, length=length, strides=params.conditions.strides
        )
        self._held_out = CodeBatches(store, "held_out", layout=layout, length=length)

    def train_step(self, step: int, part: int) -> StepResult:
        """Give the loss of random clips, some of their conditions and codes taken away."""
        device, layout, ranks = self._around.device, self._model.layout, self._ranks
        share = ranks.share(self._own.batch_size)
        rows = share.rows
        ranks.reseed(self._around.seed, "transformer", self._level, step, part)
        rng = generator(self._around.seed, "transformer", self._level, "batch", step, part)
        batch = self._training.random(self._own.batch_size, rng=rng)
        conditions = drop_at_random(
            gather_known(self._conditioning, batch).take(rows),
            self._shares,
            everything=self._params.conditions.dropout.everything,
            rng=rng,
            share=share,
        )
        goal = self._draw_goal(batch, rows, rng)
        hidden = self._draw_hidden(batch, rows, rng)
        inputs = corrupt(batch.sequence, layout, share=self._own.code_corruption, rng=rng)[rows]
        with self._around.runtime.autocast():
            logits = self._model(inputs.to(device), conditions.to(device), goal=goal, hidden=hidden)
        codes = batch.sequence[rows].to(device)[..., layout.num_given :]
        counted = torch.ones_like(codes, dtype=torch.bool) if hidden is None else hidden
        if goal is not None:
            counted = counted & (torch.arange(codes.shape[1], device=device) < goal.time)[:, None]
        by_code = cross_entropies(logits, codes)
        weights = counted.float()
        nll = (by_code * weights).sum() / ranks.mean(weights.sum())
        weights[:, 0] *= self._own.first_frame_weight
        loss = (by_code * weights).sum() / ranks.mean(weights.sum())
        return StepResult(loss=loss, figures={"nll": nll.detach()})

    def validate(self, averaged: nn.Module) -> dict[str, float]:
        """Measure on held-out clips."""
        size = min(self._own.batch_size, VALIDATION_BATCH)
        return measure(
            cast("Transformer", averaged),
            self._held_out.in_order(size, most=MOST_VALIDATION_CLIPS),
            conditioning=self._conditioning,
            device=self._around.device,
            ranks=self._ranks,
        )

    def _draw_goal(
        self, batch: CodeBatch, rows: Int64[Tensor, "r"], rng: torch.Generator
    ) -> Goal | None:
        """Let some steps see the last frame of their clips."""
        last = batch.sequence.shape[1] - 1
        drawn = torch.rand((), generator=rng).item() < self._params.conditions.goal_share
        if not drawn or not last:
            return None
        return Goal(codes=batch.sequence[rows, last].to(self._around.device), time=last)

    def _draw_hidden(
        self, batch: CodeBatch, rows: Int64[Tensor, "r"], rng: torch.Generator
    ) -> Bool[Tensor, "r t mp"] | None:
        if self._model.shape.order == "raster":
            return None
        hidden = hide_at_random(batch.sequence, self._model.layout, rng=rng)[rows]
        return hidden.to(self._around.device)


def gather_known(conditioning: Conditioning, batch: CodeBatch) -> Conditions:
    """Give all that is known of clips as tensors."""
    known = known_conditions(batch, conditioning.vocabulary)
    return conditioning.gather(known, frames=batch.sequence.shape[1])


def hide_at_random(
    sequence: Int64[Tensor, "b t m"], layout: Layout, *, rng: torch.Generator
) -> Bool[Tensor, "b t mp"]:
    """Choose the codes that are hidden: of each frame a share of its own, at least one.

    Source: Chang et al. 2022, arXiv:2202.04200, sec. 3.2, the cosine schedule.
    """
    b, t, _ = sequence.shape
    shares = torch.cos(torch.rand(b, t, 1, generator=rng) * torch.pi / 2)
    draws = torch.rand(b, t, layout.predicted.num_codes, generator=rng)
    return (draws < shares) | (draws == draws.amin(-1, keepdim=True))


def cross_entropies(
    logits: Float[Tensor, "b t m v"], codes: Int64[Tensor, "b t m"]
) -> Float[Tensor, "b t m"]:
    """Give the negative log-likelihood of each code, in nats."""
    return F.cross_entropy(rearrange(logits.float(), "b t m v -> b v t m"), codes, reduction="none")


@torch.no_grad()
def measure(
    model: Transformer,
    batches: Iterable[CodeBatch],
    *,
    conditioning: Conditioning,
    device: torch.device,
    ranks: Ranks = ALONE,
) -> dict[str, float]:
    """Measure a model on held-out clips, all that is known of them given.

    In raster order all true codes before a code are given. In parallel order a random part of its
    frame is hidden, always the same one.

    Args:
        model: the same on all ranks.
        batches: of clips.
        conditioning: of the model.
        device: where it computes.
        ranks: that take the batches in turn.

    Returns:
        `nll` in nats a code, of those that are predicted; and over the frames after the first of
        each clip, where there are any, `accuracy` of the likeliest code beside `accuracy_copy`,
        that of the code at the same place one frame before.
    """

    def figures(part: tuple[CodeBatch, Bool[Tensor, "b t mp"]]) -> dict[str, Tensor]:
        batch, hidden = part[0], part[1].to(device)
        sequence = batch.sequence.to(device)
        parallel = model.shape.order == "parallel"
        logits = model(
            sequence,
            gather_known(conditioning, batch).to(device),
            hidden=hidden if parallel else None,
        )
        codes = sequence[..., model.layout.num_given :]
        later = hidden[:, 1:]
        return {
            "nll": cross_entropies(logits, codes)[hidden].sum(),
            "codes": hidden.sum(),
            "right": (logits[:, 1:].argmax(-1) == codes[:, 1:])[later].sum(),
            "copied": (codes[:, :-1] == codes[:, 1:])[later].sum(),
            "later": later.sum(),
        }

    sums = add_up(_with_hidden(batches, model), figures, ranks)
    return _shares({name: total.item() for name, total in sums.items()})


def _with_hidden(
    batches: Iterable[CodeBatch], model: Transformer
) -> Iterator[tuple[CodeBatch, Bool[Tensor, "b t mp"]]]:
    """Say of each batch which codes are measured: all, or in parallel order those hidden."""
    rng = generator(0, "hidden codes of validation")
    for batch in batches:
        if model.shape.order == "parallel":
            yield batch, hide_at_random(batch.sequence, model.layout, rng=rng)
        else:
            codes = batch.sequence[..., model.layout.num_given :]
            yield batch, torch.ones_like(codes, dtype=torch.bool)


def _shares(sums: Mapping[str, float]) -> dict[str, float]:
    figures = {"nll": sums["nll"] / sums["codes"]}
    if sums["later"]:
        figures["accuracy"] = sums["right"] / sums["later"]
        figures["accuracy_copy"] = sums["copied"] / sums["later"]
    return figures


def _refuse_missing_level(store: CodeStore, level: Level) -> None:
    levels = [grid.level for grid in store.grids]
    if level not in levels:
        raise UserError(
            f"{store.folder}: has codes of the levels {', '.join(levels)}, and none of {level}; "
            "train the transformers of these, or train the VQGAN with another vqgan.levels and "
            "tokenize again"
        )


def transformer_shape(
    params: TransformerParams, own: LevelParams, conditioning: Conditioning, *, code_dim: int
) -> TransformerShape:
    """Take from the parameters what rebuilds the network.

    Args:
        params: of all transformers.
        own: of this one.
        conditioning: what it takes.
        code_dim: width of a codebook vector.
    """
    return TransformerShape(
        width=own.width,
        layers=own.layers,
        heads=own.heads,
        window=own.window,
        order=params.order,
        keep_first=params.keep_first,
        reach=max(1, own.clip_frames - 1),
        dropout=own.dropout,
        code_dim=code_dim,
        num_conditions=conditioning.vocabulary.size,
        condition_length=conditioning.vocabulary.length,
        sentence_width=conditioning.sentence_width,
        action_width=conditioning.action_width,
        map_cells=conditioning.map_cells,
    )


def _build(
    store: CodeStore,
    layout: Layout,
    conditioning: Conditioning,
    params: TransformerParams,
    own: LevelParams,
) -> Transformer:
    codebooks = {name: torch.from_numpy(array) for name, array in store.codebooks().items()}
    code_dim = codebooks[layout.predicted.level].shape[1]
    shape = transformer_shape(params, own, conditioning, code_dim=code_dim)
    model = Transformer(shape, layout)
    model.set_codebooks(codebooks)
    if model.frame_embedding.actions is not None:
        mean, deviation = (torch.from_numpy(array) for array in action_spread(store))
        model.frame_embedding.actions.set_spread(mean, deviation)
    return model
