"""Toys for the tests of this folder."""

import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

# pytest's importlib mode gives test files no common package to import from.
TOYS = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "toys.py")))


@pytest.fixture(scope="session")
def toys():
    """The module tests/toys.py."""
    return TOYS


@pytest.fixture(scope="session")
def transformers():
    """Both levels in float64, with random weights."""
    from cvg.codes.layout import layout_of
    from cvg.transformer.store import TrainedTransformer

    return {
        level: TrainedTransformer(
            model=TOYS.toy_transformer(layout_of(level, TOYS.GRIDS), seed=seed, layers=1),
            conditioning=TOYS.CONDITIONING,
            vqgan_hash="toy",
        )
        for seed, level in enumerate(("top", "bottom"))
    }


@pytest.fixture(scope="session")
def folders(transformers, tmp_path_factory):
    """Frames, the VQGAN, its codes, and transformers of random weights: the root, and the store."""
    from cvg.transformer.store import save_transformer
    from cvg.vqgan.store import load_vqgan, save_vqgan

    root = tmp_path_factory.mktemp("models")
    store = TOYS.write_frames(root / "frames")
    for name in ("vqgan", "codes", "transformers/top", "transformers/bottom"):
        (root / name).mkdir(parents=True)
    save_vqgan(root / "vqgan", TOYS.toy_vqgan())
    vqgan, digest = load_vqgan(root / "vqgan")
    TOYS.tokenized(store, vqgan, root / "codes", vqgan_hash=digest)
    for level, trained in transformers.items():
        save_transformer(root / "transformers" / level, replace(trained, vqgan_hash=digest))
    return root, store


@pytest.fixture
def load(folders):
    """Load the models of `folders` in double precision, some from elsewhere."""
    import torch

    from cvg.sampling.models import load_models

    def load_double(**elsewhere):
        own = {name: folders[0] / name for name in ("vqgan", "transformers")}
        models = load_models(**own | elsewhere, device=torch.device("cpu"))
        for one in models.transformers.values():
            one.model.double()
        return models

    return load_double


@pytest.fixture(autouse=True)
def double_conditions(monkeypatch):
    """The toy transformers are in double precision, and so are the conditions they are given."""
    from cvg.conditions.conditioning import Conditioning

    gather = Conditioning.gather

    def gather_double(self, conditions, *, frames):
        found = gather(self, conditions, frames=frames)
        return found._each(lambda tensor: tensor.double() if tensor.is_floating_point() else tensor)

    monkeypatch.setattr(Conditioning, "gather", gather_double)


@pytest.fixture
def settings():
    """Plain sampling of seven frames after two."""
    return TOYS.toy_params().sample.model_copy(
        update={"temperature": 1.0, "top_k": 0, "top_p": 1.0, "packing": "fp32"}
    )
