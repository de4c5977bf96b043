"""How likely the true codes are to the transformers, by how much of the truth they see.

- `all`: all true codes before a code (fully teacher-forced, as in training);
- `frames`: the true frames before; the codes of its own frame, of all levels, are drawn
  (temporally teacher-forced);
- `context`: the true context frames; everything after them is drawn (free).

What separates the first from the last is what errors in a model's own past cost it.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from einops import rearrange

from cvg.conditions.condition import Condition
from cvg.sampling.draw import draw
from cvg.seeding import generator
from cvg.tensors import Float, Int64, Tensor
from cvg.transformer.decoder import Decoder
from cvg.transformer.packing import pack
from cvg.transformer.store import TrainedTransformer

TruthSeen = Literal["all", "frames", "context"]
TRUTHS: tuple[TruthSeen, ...] = get_args(TruthSeen)


@torch.no_grad()
def measure_likelihood(
    transformers: Mapping[str, TrainedTransformer],
    codes: Mapping[str, Int64[Tensor, "b t h w"]],
    conditions: Sequence[Condition],
    *,
    context_frames: int,
    truth: TruthSeen,
    seed: int,
) -> dict[str, Float[Tensor, "b after"]]:
    """Measure how likely the codes of clips are, after their context.

    Codes are drawn as the models predict them, at temperature 1 and unfiltered.

    Args:
        transformers: in raster order, coarse to fine.
        codes: of whole clips, by level.
        conditions: of each clip.
        context_frames: true frames before the first that is measured; may be 0.
        truth: how much of the truth is seen.
        seed: of what is drawn.

    Returns:
        the negative log-likelihood of each frame after the context, in nats a code, by level.

    Raises:
        ValueError: a transformer is of parallel order, which has no likelihood.
    """
    if any(one.model.shape.order != "raster" for one in transformers.values()):
        raise ValueError("only transformers of raster order have a likelihood")
    frames = next(iter(codes.values())).shape[1]
    rng = generator(seed, "likelihood", truth)
    decoders = {
        level: _begin(one, codes, conditions, context_frames=context_frames)
        for level, one in transformers.items()
    }
    nll: dict[str, list[Tensor]] = {level: [] for level in transformers}
    for frame in range(context_frames, frames):
        true = {
            level: rearrange(grids[:, frame], "b h w -> b (h w)") for level, grids in codes.items()
        }
        own: dict[str, Tensor] = {}
        for level, decoder in decoders.items():
            above = true if truth == "all" else own
            own[level], score = _score_frame(
                decoder, above, true[level], rng=None if truth == "all" else rng
            )
            nll[level].append(score)
        if truth == "frames":
            for decoder in decoders.values():
                _write_true(decoder, true)
    return {level: torch.stack(rows, dim=1) for level, rows in nll.items()}


def _begin(
    transformer: TrainedTransformer,
    codes: Mapping[str, Int64[Tensor, "b t h w"]],
    conditions: Sequence[Condition],
    *,
    context_frames: int,
) -> Decoder:
    model, frames = transformer.model, next(iter(codes.values())).shape[1]
    device = model.device
    gathered = transformer.conditioning.gather(conditions, frames=frames).to(device)
    decoder = Decoder(pack(model, "fp32"), gathered)
    if context_frames:
        context = {level: grids[:, :context_frames] for level, grids in codes.items()}
        decoder.prefill(model.layout.to_sequence(context))
    return decoder


def _score_frame(
    decoder: Decoder,
    above: Mapping[str, Int64[Tensor, "b n"]],
    true: Int64[Tensor, "b mp"],
    *,
    rng: torch.Generator | None,
) -> tuple[Int64[Tensor, "b mp"], Float[Tensor, "b"]]:
    """Write a frame; give its codes, and the nats a true code costs on average.

    Args:
        decoder: before the frame.
        above: codes of the coarser levels.
        true: codes of the level.
        rng: where the codes that are written are drawn from; None writes the true ones.
    """
    decoder.begin()
    given = [above[grid.level] for grid in decoder.model.layout.grids[:-1]]
    if given:
        decoder.give(torch.cat(given, dim=1))
    written, total = [], torch.zeros(len(true), dtype=torch.float64, device=true.device)
    for code in true.unbind(1):
        logs = decoder.peek().double().log_softmax(-1)
        total -= logs.gather(1, code[:, None])[:, 0]
        if rng is not None:
            code = draw(logs.exp(), torch.rand(len(code), generator=rng).to(code.device))
        written.append(code)
        decoder.put(code)
    return torch.stack(written, dim=1), total / true.shape[1]


def _write_true(decoder: Decoder, true: Mapping[str, Int64[Tensor, "b n"]]) -> None:
    """Put the true frame in the place of the one just written."""
    decoder.rewind()
    decoder.begin()
    decoder.give(torch.cat([true[grid.level] for grid in decoder.model.layout.grids], dim=1))
