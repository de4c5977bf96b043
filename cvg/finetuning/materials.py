"""What fine-tuning works with, whichever way it goes."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from cvg.codes.batches import CodeBatch, CodeBatches
from cvg.codes.store import CodeStore
from cvg.conditions.batch import Conditions
from cvg.conditions.condition import Kind
from cvg.conditions.dropout import without
from cvg.config import FinetuneParams
from cvg.finetuning.own import OwnClips
from cvg.sampling.models import Models
from cvg.tensors import Int64, Tensor
from cvg.training.loop import Surroundings
from cvg.transformer.model import Transformer
from cvg.transformer.train import gather_known


@contextmanager
def as_in_sampling(models: Iterable[nn.Module]) -> Iterator[None]:
    """Leave out what only training does to models, dropout that is; gradients still flow."""
    before = {model: model.training for model in models}
    for model in before:
        model.eval()
    try:
        yield
    finally:
        for model, training in before.items():
            model.train(training)


@dataclass(frozen=True, kw_only=True)
class Materials:
    """Models, clips and settings.

    Attributes:
        store: of the codes.
        models: as they were, on the device.
        tuned: the transformers that are tuned, by level.
        own: clips of `frames` frames that the models wrote; None where none are needed.
        params: of fine-tuning.
        frames: of a clip.
        around: learning rate, seed and machine.
    """

    store: CodeStore
    models: Models
    tuned: Mapping[str, Transformer]
    own: OwnClips | None
    params: FinetuneParams
    frames: int
    around: Surroundings

    @property
    def device(self) -> torch.device:
        """Where tensors live."""
        return self.around.device

    def real_batches(self) -> CodeBatches:
        """Give the windows of the training codes."""
        layout = self.models.finest.model.layout
        return CodeBatches(self.store, "train", layout=layout, length=self.frames)

    def codes_of(self, batch: CodeBatch) -> dict[str, Int64[Tensor, "b t _ _"]]:
        """Give the codes of a batch by level, on the device."""
        return self.models.finest.model.layout.from_sequence(batch.sequence.to(self.device))

    def told_of_real(
        self, batch: CodeBatch, *, but: Collection[Kind] = ()
    ) -> dict[str, Conditions]:
        """Give the conditions of real clips as each level takes them, on the device.

        Args:
            batch: the clips.
            but: kinds that are left out.
        """
        return {
            level: without(gather_known(one.conditioning, batch), but).to(self.device)
            for level, one in self.models.transformers.items()
        }

    def told_of_own(self, own: OwnClips) -> dict[str, Conditions]:
        """Give the conditions of own clips as each level takes them, on the device."""
        return {
            level: own.told(one.conditioning).to(self.device)
            for level, one in self.models.transformers.items()
        }
