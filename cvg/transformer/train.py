"""Training of the transformer of one level."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from cvg.codes.batches import CodeBatch, CodeBatches
from cvg.codes.layout import Layout, layout_of
from cvg.codes.store import CodeStore
from cvg.conditions.dropout import drop_conditions
from cvg.conditions.vocabulary import Vocabulary
from cvg.config import Level, LevelParams
from cvg.errors import UserError
from cvg.seeding import generator, seed_everything
from cvg.tensors import Float, Int64, Tensor
from cvg.training.loop import Job, StepResult, Surroundings, Trained, train
from cvg.transformer.model import Transformer, TransformerShape
from cvg.transformer.store import TrainedTransformer

# Enough for a steady figure; a larger held-out set is thinned out evenly.
MOST_VALIDATION_CLIPS = 256


@dataclass(frozen=True, kw_only=True)
class TransformerRun:
    """The best transformer of a run."""

    transformer: TrainedTransformer
    trained: Trained


def train_transformer(
    store: CodeStore,
    level: Level,
    params: LevelParams,
    around: Surroundings,
) -> TransformerRun:
    """Train on the training codes; the best weights by held-out cross-entropy are kept.

    Seeds the global generator, which initialisation and dropout draw from.

    Raises:
        UserError: the codes do not have the level, or the loss is not finite too often.
    """
    _refuse_missing_level(store, level)
    seed, device = around.seed, around.device
    seed_everything(seed, "transformer", level)
    layout = layout_of(level, store.grids)
    vocabulary = _collect_vocabulary(store, params)
    model = _build(store, layout, vocabulary, params).to(device)
    training = CodeBatches(store, "train", layout=layout, length=params.clip_frames)
    held_out = CodeBatches(store, "held_out", layout=layout, length=params.clip_frames)
    null = vocabulary.null(1)

    def train_step(step: int, part: int) -> StepResult:
        rng = generator(seed, "transformer", level, "batch", step, part)
        batch = training.random(params.batch_size, rng=rng)
        conditions = drop_conditions(
            _conditions(vocabulary, batch), null, share=params.condition_dropout, rng=rng
        )
        inputs = corrupt(batch.sequence, layout, share=params.code_corruption, rng=rng)
        with around.runtime.autocast():
            logits = model(inputs.to(device), conditions.to(device))
        loss = cross_entropy(logits, batch.sequence.to(device)[..., layout.num_given :])
        return StepResult(loss=loss, figures={"nll": loss.detach()})

    def validate(averaged: nn.Module) -> dict[str, float]:
        batches = held_out.in_order(params.batch_size, most=MOST_VALIDATION_CLIPS)
        return measure(averaged, batches, vocabulary=vocabulary, layout=layout, device=device)

    job = Job(
        label=f"train-transformer {level}",
        model=model,
        train_step=train_step,
        validate=validate,
        objective="nll",
    )
    trained = train(job, params, around)
    kept = TrainedTransformer(model=model, vocabulary=vocabulary, vqgan_hash=store.vqgan_hash)
    return TransformerRun(transformer=kept, trained=trained)


def corrupt(
    sequence: Int64[Tensor, "b t m"], layout: Layout, *, share: float, rng: torch.Generator
) -> Int64[Tensor, "b t m"]:
    """Replace a random share of the input codes by random codes of the same level.

    The share of each clip is itself drawn evenly from 0 to `share`, so that clean inputs occur too.
    It teaches the model to go on from its own mistakes.
    """
    b, t, m = sequence.shape
    shares = share * torch.rand(b, 1, 1, generator=rng)
    hit = torch.rand(b, t, m, generator=rng) < shares
    sizes = torch.cat([torch.full((g.num_codes,), g.codebook_size) for g in layout.grids])
    random = (torch.rand(b, t, m, generator=rng) * sizes).long()
    return torch.where(hit, random, sequence)


def cross_entropy(
    logits: Float[Tensor, "b t m v"], codes: Int64[Tensor, "b t m"]
) -> Float[Tensor, ""]:
    """Give the mean negative log-likelihood, in nats a code."""
    return F.cross_entropy(
        rearrange(logits.float(), "b t m v -> (b t m) v"), rearrange(codes, "b t m -> (b t m)")
    )


@torch.no_grad()
def measure(
    model: nn.Module,
    batches: Iterator[CodeBatch],
    *,
    vocabulary: Vocabulary,
    layout: Layout,
    device: torch.device,
) -> dict[str, float]:
    """Measure a model on held-out clips, all true codes given.

    Returns:
        `nll` in nats a code; and over the frames after the first of each clip, where there are
        any, `accuracy` of the likeliest code beside `accuracy_copy`, that of the code at the same
        place one frame before.
    """
    total, right, copied, num_codes, num_later = 0.0, 0, 0, 0, 0
    for batch in batches:
        sequence = batch.sequence.to(device)
        logits = model(sequence, _conditions(vocabulary, batch).to(device))
        codes = sequence[..., layout.num_given :]
        total += cross_entropy(logits, codes).item() * codes.numel()
        num_codes += codes.numel()
        later = codes[:, 1:]
        right += (logits[:, 1:].argmax(-1) == later).sum().item()
        copied += (codes[:, :-1] == later).sum().item()
        num_later += later.numel()
    figures = {"nll": total / num_codes}
    if num_later:
        figures |= {"accuracy": right / num_later, "accuracy_copy": copied / num_later}
    return figures


def _refuse_missing_level(store: CodeStore, level: Level) -> None:
    levels = [grid.level for grid in store.grids]
    if level not in levels:
        raise UserError(
            f"{store.folder}: has codes of the levels {', '.join(levels)}, and none of {level}; "
            "train the transformers of these, or train the VQGAN with another vqgan.levels and "
            "tokenize again"
        )


def _collect_vocabulary(store: CodeStore, params: LevelParams) -> Vocabulary:
    segments = store.segments("train")
    return Vocabulary.collect(
        (segment.caption for segment in segments),
        (segment.label for segment in segments),
        caption_words=params.caption_words,
    )


def _conditions(vocabulary: Vocabulary, batch: CodeBatch) -> Int64[Tensor, "b p"]:
    return vocabulary.encode_all((s.caption, s.label) for s in batch.segments)


def _build(
    store: CodeStore, layout: Layout, vocabulary: Vocabulary, params: LevelParams
) -> Transformer:
    codebooks = {name: torch.from_numpy(array) for name, array in store.codebooks().items()}
    shape = TransformerShape(
        width=params.width,
        layers=params.layers,
        heads=params.heads,
        window=params.window,
        dropout=params.dropout,
        code_dim=codebooks[layout.predicted.level].shape[1],
        num_conditions=vocabulary.size,
        condition_length=vocabulary.length,
    )
    model = Transformer(shape, layout)
    model.set_codebooks(codebooks)
    return model
