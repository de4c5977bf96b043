"""From context frames and a condition to future frames, in codes."""

from collections.abc import Mapping, Sequence

import torch
from einops import rearrange

from cvg.conditions.vocabulary import Vocabulary
from cvg.config import SampleParams
from cvg.progress import Steps
from cvg.sampling.draw import draw, uniforms_of_videos
from cvg.sampling.filters import keep_top_k, keep_top_p, temper
from cvg.sampling.guidance import guide
from cvg.tensors import Float, Int64, Tensor
from cvg.transformer.decoder import Decoder
from cvg.transformer.store import TrainedTransformer

# Caption and label of a video, either of which may be missing.
Condition = tuple[str | None, str | None]


class LevelWriter:
    """Writes the codes of one level; with guidance, the null condition is half of the batch."""

    def __init__(
        self,
        transformer: TrainedTransformer,
        conditions: Sequence[Condition],
        settings: SampleParams,
        *,
        uniforms: Float[Tensor, "b n"],
    ) -> None:
        """Begin before the first frame.

        Args:
            transformer: of the level.
            conditions: of each video.
            settings: temperature, filters, guidance.
            uniforms: random numbers of each video, one for each code to be drawn.
        """
        self.layout = transformer.model.layout
        self._settings = settings
        self._uniforms = uniforms
        self._drawn = 0
        self._guided = settings.guidance_scale != 1
        numbers = self._numbers(transformer.vocabulary, conditions)
        self._decoder = Decoder(transformer.model, numbers)

    def feed(self, frame: Int64[Tensor, "b m"]) -> None:
        """Write a known frame, in the order of the layout."""
        self._decoder.feed(self._twice(frame))

    def write(self, given: Int64[Tensor, "b n"]) -> Int64[Tensor, "b mp"]:
        """Draw the predicted codes of the next frame after its given codes."""
        if given.shape[1]:
            self._decoder.feed(self._twice(given))
        codes = []
        for _ in range(self.layout.predicted.num_codes):
            logits = self._filter(self._guide(self._decoder.peek()))
            codes.append(draw(logits.softmax(-1), self._uniforms[:, self._drawn]))
            self._drawn += 1
            self._decoder.put(self._twice(codes[-1]))
        return torch.stack(codes, dim=1)

    def _numbers(
        self, vocabulary: Vocabulary, conditions: Sequence[Condition]
    ) -> Int64[Tensor, "b p"]:
        numbers = vocabulary.encode_all(conditions)
        if self._guided:
            numbers = torch.cat([numbers, vocabulary.null(len(conditions))])
        return numbers.to(self._uniforms.device)

    def _twice(self, codes: Int64[Tensor, "b *n"]) -> Int64[Tensor, "b2 *n"]:
        return torch.cat([codes, codes]) if self._guided else codes

    def _guide(self, logits: Float[Tensor, "b2 v"]) -> Float[Tensor, "b v"]:
        if not self._guided:
            return logits
        conditional, unconditional = logits.chunk(2)
        return guide(conditional, unconditional, self._settings.guidance_scale)

    def _filter(self, logits: Float[Tensor, "b v"]) -> Float[Tensor, "b v"]:
        settings = self._settings
        logits = temper(logits, settings.temperature)
        return keep_top_p(keep_top_k(logits, settings.top_k), settings.top_p)


def roll_out(
    transformers: Mapping[str, TrainedTransformer],
    context: Mapping[str, Int64[Tensor, "b given _ _"]],
    conditions: Sequence[Condition],
    settings: SampleParams,
    *,
    names: Sequence[str],
    seed: int,
) -> dict[str, Int64[Tensor, "b t _ _"]]:
    """Continue videos up to `settings.frames` frames.

    Args:
        transformers: of each level, coarse to fine.
        context: codes of the first frames of each video, each level.
        conditions: of each video.
        settings: number of frames, temperature, filters, guidance.
        names: of the videos; the random numbers of a video follow from the seed and its name.
        seed: root seed.

    Returns:
        codes of all frames, the context's first, each level.
    """
    num_context = next(iter(context.values())).shape[1]
    future = settings.frames - num_context
    device = next(iter(context.values())).device
    writers = {}
    for level, transformer in transformers.items():
        count = future * transformer.model.layout.predicted.num_codes
        uniforms = uniforms_of_videos(seed, names, count=count, level=level).to(device)
        writers[level] = LevelWriter(transformer, conditions, settings, uniforms=uniforms)
        sequence = writers[level].layout.to_sequence(context)
        for frame in sequence.unbind(1):
            writers[level].feed(frame)
    codes = {level: list(grids.unbind(1)) for level, grids in context.items()}
    with Steps("sample", total=future) as progress:
        for _ in range(future):
            _write_frame(writers, codes)
            progress.advance()
    return {level: torch.stack(frames, dim=1) for level, frames in codes.items()}


def _write_frame(writers: Mapping[str, LevelWriter], codes: dict[str, list[Tensor]]) -> None:
    """Write one frame, coarse to fine; each level is given the levels above it."""
    written: list[Int64[Tensor, "b n"]] = []
    for level, writer in writers.items():
        count = len(codes[level][0])
        given = (
            torch.cat(written, dim=1)
            if written
            else torch.empty(count, 0, dtype=torch.int64, device=codes[level][0].device)
        )
        predicted = writer.write(given)
        written.append(predicted)
        rows = writer.layout.predicted.rows
        codes[level].append(rearrange(predicted, "b (h w) -> b h w", h=rows))
