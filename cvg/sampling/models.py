"""All models that sampling needs, checked to belong together."""

from dataclasses import dataclass
from pathlib import Path

import torch

from cvg.codes.store import CodeStore
from cvg.transformer.store import TrainedTransformer, load_transformer
from cvg.vqgan.model import Vqgan
from cvg.vqgan.store import load_vqgan, require_same_vqgan


@dataclass(frozen=True, kw_only=True)
class Models:
    """Codes, the VQGAN that made them, and the transformers trained on them."""

    codes: CodeStore
    vqgan: Vqgan
    transformers: dict[str, TrainedTransformer]  # by level, coarse to fine


def load_models(*, codes: Path, vqgan: Path, transformers: Path, device: torch.device) -> Models:
    """Load everything onto `device`.

    Raises:
        UserError: a file is missing or damaged, or the parts are not of the same VQGAN.
    """
    store = CodeStore.open(codes)
    model, vqgan_hash = load_vqgan(vqgan)
    require_same_vqgan(store.vqgan_hash, vqgan_hash, where=codes)
    loaded = {}
    for grid in store.grids:
        folder = transformers / grid.level
        loaded[grid.level] = load_transformer(folder)
        require_same_vqgan(loaded[grid.level].vqgan_hash, vqgan_hash, where=folder)
        loaded[grid.level].model.to(device)
    return Models(codes=store, vqgan=model.to(device), transformers=loaded)
