"""Writing the codes of one level, frame after frame."""

import math
from collections.abc import Sequence

import torch

from cvg.codes.layout import Layout
from cvg.conditions.batch import Conditions
from cvg.conditions.condition import Condition
from cvg.conditions.conditioning import Conditioning
from cvg.config import DrawParams
from cvg.sampling.draw import Dice, draw, gumbel
from cvg.sampling.filters import keep_top_k, keep_top_p, temper
from cvg.sampling.guidance import Guidance
from cvg.tensors import Float, Int64, Tensor
from cvg.transformer.decoder import Decoder


class LevelWriter:
    """Draws the codes of one level; with guidance, variants of each video are in the batch."""

    def __init__(
        self,
        decoder: Decoder,
        conditioning: Conditioning,
        guidance: Guidance,
        settings: DrawParams,
        *,
        dice: Dice,
    ) -> None:
        """Go on where the decoder stands.

        Args:
            decoder: of all variants, before a frame.
            conditioning: of its model.
            guidance: which variants there are, and how they are joined.
            settings: temperature, filters, rounds.
            dice: the random numbers of the videos.
        """
        self._decoder, self._conditioning, self._guidance = decoder, conditioning, guidance
        self._settings, self._dice = settings, dice

    @property
    def layout(self) -> Layout:
        """The places of a frame."""
        return self._decoder.model.layout

    @property
    def device(self) -> torch.device:
        """Where codes are drawn."""
        return self._decoder.model.device

    def change(self, conditions: Sequence[Condition]) -> None:
        """Go on under other conditions."""
        spread = spread_conditions(
            self._conditioning, self._guidance, conditions, device=self.device
        )
        self._decoder.change(spread)

    def take(self, videos: Int64[Tensor, "b"]) -> None:
        """Go on with the state of others, by their numbers; random numbers stay each one's own."""
        self._decoder.take(self._guidance.rows(videos, count=len(videos)))

    def write(self, given: Int64[Tensor, "b n"]) -> Int64[Tensor, "b mp"]:
        """Draw the predicted codes of the next frame after its given codes."""
        self._decoder.begin()
        if self._decoder.model.shape.order == "parallel":
            return self._write_in_parallel(given)
        return self._write_in_raster(given)

    def _write_in_raster(self, given: Int64[Tensor, "b n"]) -> Int64[Tensor, "b mp"]:
        if given.shape[1]:
            self._decoder.give(self._guidance.repeat(given))
        codes = []
        for uniforms in self._dice.roll(self.layout.predicted.num_codes).unbind(1):
            logits = self._filter(self._guidance.join(self._decoder.peek()))
            codes.append(draw(logits.softmax(-1), uniforms))
            self._decoder.put(self._guidance.repeat(codes[-1]))
        return torch.stack(codes, dim=1)

    def _write_in_parallel(self, given: Int64[Tensor, "b n"]) -> Int64[Tensor, "b mp"]:
        """Draw all hidden codes in each round, and keep those that are surest.

        Source: Chang et al. 2022, arXiv:2202.04200, sec. 3.2. Noise on the confidence, which fades
        from round to round, keeps the surest codes from being always those that repeat.
        """
        rounds, count = self._settings.passes, self.layout.predicted.num_codes
        codes = given.new_zeros(len(given), count)
        hidden = torch.ones_like(codes, dtype=torch.bool)
        for number in range(1, rounds + 1):
            frame = self._guidance.repeat(torch.cat([given, codes], dim=1))
            logits = self._decoder.look(frame, self._guidance.repeat(hidden))
            logits = self._filter(self._guidance.join(logits))
            to_draw, to_keep = self._dice.roll(2 * count).chunk(2, dim=1)
            drawn = draw(logits.softmax(-1), to_draw)
            likelihood = logits.log_softmax(-1).gather(-1, drawn[..., None])[..., 0]
            noise = self._settings.pass_noise * (1 - number / rounds) * gumbel(to_keep)
            codes = torch.where(hidden, drawn, codes)
            sureness = (likelihood + noise).masked_fill(~hidden, torch.inf)
            left = math.floor(count * math.cos(math.pi / 2 * number / rounds))
            least_sure = sureness.argsort(-1)[:, :left]
            hidden = torch.zeros_like(hidden).scatter(1, least_sure, value=True) & hidden
        self._decoder.give(self._guidance.repeat(torch.cat([given, codes], dim=1)))
        return codes

    def _filter(self, logits: Float[Tensor, "b *n v"]) -> Float[Tensor, "b *n v"]:
        settings = self._settings
        logits = temper(logits, settings.temperature)
        return keep_top_p(keep_top_k(logits, settings.top_k), settings.top_p)


def spread_conditions(
    conditioning: Conditioning,
    guidance: Guidance,
    conditions: Sequence[Condition],
    *,
    device: torch.device,
) -> Conditions:
    """Give the conditions of all variants of some videos."""
    rows = [len(r) for one in conditions for r in (one.actions, one.map) if r is not None]
    # One frame more, for the last action leads to it.
    gathered = conditioning.gather(conditions, frames=1 + max(rows, default=0))
    return guidance.spread(gathered.to(device))
