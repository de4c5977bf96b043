"""All models that sampling needs, checked to belong together."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from cvg.codes.store import CodeStore
from cvg.conditions.conditioning import Conditioning
from cvg.errors import UserError
from cvg.transformer.store import TrainedTransformer, load_transformer
from cvg.vqgan.model import Vqgan
from cvg.vqgan.store import load_vqgan, require_same_vqgan


@dataclass(frozen=True, kw_only=True)
class Models:
    """A VQGAN, and the transformers that were trained on its codes."""

    vqgan: Vqgan
    vqgan_hash: str
    transformers: Mapping[str, TrainedTransformer]  # by level, coarse to fine

    @property
    def finest(self) -> TrainedTransformer:
        """The transformer of the finest level, whose layout has all levels."""
        return list(self.transformers.values())[-1]

    @property
    def conditioning(self) -> Conditioning:
        """The conditions that they take; of the levels, only where motion is parted may differ."""
        return next(iter(self.transformers.values())).conditioning

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return next(self.vqgan.parameters()).device


def load_models(*, vqgan: Path, transformers: Path, device: torch.device) -> Models:
    """Load everything onto `device`.

    Args:
        vqgan: folder of the VQGAN.
        transformers: folder with a folder for each level.
        device: where to compute.

    Raises:
        UserError: a file is missing or damaged, or the parts are not of the same VQGAN.
    """
    model, vqgan_hash = load_vqgan(vqgan)
    loaded = {}
    for level in model.shape.levels:
        folder = transformers / level
        loaded[level] = load_transformer(folder)
        require_same_vqgan(loaded[level].vqgan_hash, vqgan_hash, where=folder)
        loaded[level].model.to(device)
    _refuse_unlike(loaded, transformers)
    return Models(vqgan=model.to(device), vqgan_hash=vqgan_hash, transformers=loaded)


def open_codes(folder: Path, models: Models) -> CodeStore:
    """Open codes that must be of the models' VQGAN.

    Raises:
        UserError: they are not, or a file is missing or damaged.
    """
    store = CodeStore.open(folder)
    require_same_vqgan(store.vqgan_hash, models.vqgan_hash, where=folder)
    return store


def _refuse_unlike(loaded: Mapping[str, TrainedTransformer], folder: Path) -> None:
    """Refuse levels that were trained on other conditions or in another order than the first.

    Where classes of motion begin may differ: each level measures over clips of its own length.
    """
    (first, one), *others = loaded.items()
    for level, other in others:
        if _likeness(one) != _likeness(other):
            raise UserError(
                f"{folder}: the transformers of {first} and {level} were trained on other "
                "conditions or in another order of codes (transformer.order, "
                "transformer.conditions); run train-transformer for both on the same codes"
            )


def _likeness(trained: TrainedTransformer) -> tuple[object, ...]:
    """Give what all levels must have in common."""
    conditioning = trained.conditioning
    words = conditioning.vocabulary
    return (
        trained.model.shape.order,
        replace(words, motion_edges=None),
        conditioning.action_width,
        conditioning.map_cells,
    )
