"""All models that sampling needs, checked to belong together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from cvg.codes.store import CodeStore
from cvg.conditions.conditioning import Conditioning
from cvg.critic.store import TrainedCritic, load_critic
from cvg.errors import UserError
from cvg.files import read_json, sha256_file
from cvg.remote.url import Place
from cvg.training.weights import WEIGHTS
from cvg.transformer.store import TrainedTransformer, load_transformer
from cvg.vqgan.model import Vqgan
from cvg.vqgan.store import load_vqgan, require_same_vqgan

FINETUNING = "finetuning.json"  # in a folder of transformers, says how they were tuned


@dataclass(frozen=True, kw_only=True)
class Models:
    """A VQGAN, and the transformers that were trained on its codes."""

    vqgan: Vqgan
    vqgan_hash: str
    transformers: Mapping[str, TrainedTransformer]  # by level, coarse to fine
    critic: TrainedCritic | None = None  # that chooses among candidates

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


def load_models(
    *, vqgan: Path, transformers: Path, device: torch.device, critic: Path | None = None
) -> Models:
    """Load everything onto `device`.

    Args:
        vqgan: folder of the VQGAN.
        transformers: folder with a folder for each level.
        device: where to compute.
        critic: folder of the critic; None where none is needed.

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
    judge = None
    if critic is not None:
        judge = load_critic(critic)
        require_same_vqgan(judge.vqgan_hash, vqgan_hash, where=critic)
        judge.model.to(device)
    return Models(vqgan=model.to(device), vqgan_hash=vqgan_hash, transformers=loaded, critic=judge)


def hash_transformers(folder: Path, levels: Sequence[str]) -> dict[str, str]:
    """Give the SHA-256 of the weights of each level of a folder of transformers."""
    return {level: sha256_file(folder / level / WEIGHTS) for level in levels}


def newest_transformers(folder: Path) -> Path:
    """Give the transformers of a folder of results: tuned ones where there are any.

    Raises:
        UserError: those were made of other transformers than the ones beside them.
    """
    tuned, source = folder / "finetuned", folder / "transformer"
    if not tuned.is_dir():
        return source
    made_of = read_json(tuned / FINETUNING)["made_of"]
    if all((source / level / WEIGHTS).is_file() for level in made_of) and (
        hash_transformers(source, list(made_of)) != made_of
    ):
        raise UserError(
            f"{tuned}: made of other transformers than those in {source}; run the finetune stage "
            "again (dvc repro finetune)"
        )
    return tuned


def open_codes(folder: Place, models: Models) -> CodeStore:
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
