"""Clips to learn from: real ones, and what corruptions make of them.

All of them pass through the VQGAN, because what a critic is to judge will: otherwise it would learn
to tell codes from pixels, and not time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from cvg.codes.batches import CodeBatch, CodeBatches
from cvg.codes.corrupt import corrupt
from cvg.codes.layout import layout_of
from cvg.codes.store import CodeStore
from cvg.conditions.batch import Conditions
from cvg.conditions.conditioning import Conditioning
from cvg.config import CriticParams
from cvg.critic.corruptions import Arrangement, Corruption, arrange, span
from cvg.critic.sight import Sight
from cvg.segments import Split
from cvg.tensors import Bool, Float, Tensor
from cvg.training.share import Share, of_all
from cvg.transformer.conditioning import known_conditions
from cvg.vqgan.augment import augment

SUCCESSIVE = 5  # frames of a clip for a critic that sees one alone


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Clips and what is true of them."""

    pictures: Float[Tensor, "b t c h w"]
    conditions: Conditions  # on the CPU
    real: Bool[Tensor, "b"]
    pairs: Bool[Tensor, "b q"]  # whether a frame follows the one before it as in a real clip


class ExampleMaker:
    """Makes examples of the codes of one split."""

    def __init__(
        self,
        store: CodeStore,
        split: Split,
        sight: Sight,
        conditioning: Conditioning,
        params: CriticParams,
    ) -> None:
        """Prepare windows of real frames.

        Args:
            store: of the codes.
            split: "train" or "held_out".
            sight: what the critic sees of them.
            conditioning: what it is told.
            params: frames, noise and augmentation.

        Raises:
            UserError: no segment has enough frames for one at doubled speed.
        """
        self._sight, self._conditioning, self._params = sight, conditioning, params
        self._device = next(sight.vqgan.parameters()).device
        self._layout = layout_of(sight.vqgan.shape.levels[-1], store.grids)
        self.frames = clip_frames(params)
        self._batches = CodeBatches(store, split, layout=self._layout, length=span(self.frames))

    def random(
        self,
        kinds: list[Corruption | None],
        *,
        rng: torch.Generator,
        share: Share | None = None,
    ) -> Examples:
        """Make an example of each kind from random windows; they are augmented.

        With `share`, only those of them are made.
        """
        batch = self._batches.random(len(kinds), rng=rng)
        examples = self.corrupted(batch, kinds, rng=rng, share=share)
        params, pictures = self._params, examples.pictures
        if self._sight.input == "codes" or not (params.flip or params.shift):
            return examples
        changed = augment(
            pictures.flatten(0, 1),
            flip=params.flip,
            shift=params.shift,
            successive=self.frames,
            rng=rng,
            share=share,
        )
        return replace(examples, pictures=changed.unflatten(0, pictures.shape[:2]))

    def in_order(self, size: int, *, most: int) -> Iterator[CodeBatch]:
        """Give windows spread evenly over all, to be corrupted in one way after the other."""
        return self._batches.in_order(size, most=most)

    @torch.no_grad()
    def corrupted(
        self,
        batch: CodeBatch,
        kinds: list[Corruption | None],
        *,
        rng: torch.Generator,
        share: Share | None = None,
    ) -> Examples:
        """Make an example of each window, or of a share, corrupted as `kinds` says."""
        share = share or of_all(len(kinds))
        videos = [segment.video for segment in batch.segments]
        numbers = torch.tensor([videos.index(video) for video in videos])
        chosen = arrange(kinds, frames=self.frames, videos=numbers, rng=rng)
        sequence = batch.sequence[chosen.clips, chosen.frames]
        if self._sight.input == "codes":
            most = self._params.noise
            replaced = corrupt(sequence, self._layout, share=most, least=most / 2, rng=rng)
            sequence = torch.where(chosen.noisy[:, None, None], replaced, sequence)
        codes = self._layout.from_sequence(sequence[share.rows].to(self._device))
        pictures = self._sight.see(self._sight.look_up(codes))
        if self._sight.input == "pixels":
            pictures = self._add_noise(pictures, chosen, share, rng)
        return Examples(
            pictures=pictures,
            conditions=tell(self._conditioning, batch).take(share.rows),
            real=chosen.real[share.rows].to(self._device),
            pairs=chosen.pairs[share.rows].to(self._device),
        )

    def _add_noise(
        self,
        pictures: Float[Tensor, "b t c h w"],
        chosen: Arrangement,
        share: Share,
        rng: torch.Generator,
    ) -> Float[Tensor, "b t c h w"]:
        """Add noise to the clips that are to have it, of a deviation of half to all of `noise`."""
        rows = torch.nonzero(chosen.noisy).flatten()
        if not len(rows):
            return pictures
        deviations = self._params.noise * (0.5 + 0.5 * torch.rand(len(rows), generator=rng))
        noise = torch.randn(len(rows), *pictures.shape[1:], generator=rng)
        noise = (noise * deviations.view(-1, 1, 1, 1, 1)).to(pictures)
        is_own = torch.isin(rows, share.rows)
        places = torch.searchsorted(share.rows, rows[is_own])
        device = pictures.device
        return pictures.index_add(0, places.to(device), noise[is_own.to(device)])


def clip_frames(params: CriticParams) -> int:
    """Give the frames of an example: those that the critic sees, or `SUCCESSIVE` for one alone."""
    return params.frames if params.frames > 1 else SUCCESSIVE


def tell(conditioning: Conditioning, batch: CodeBatch) -> Conditions:
    """Give what a critic is told of clips."""
    known = known_conditions(batch, conditioning.vocabulary, kinds=conditioning.kinds)
    return conditioning.gather(known, frames=1)
