"""Networks of params.yaml at small sizes."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from cvg.params import load_params
from cvg.planning.networks import Networks
from cvg.training.runtime import Runtime
from pipeline.preset import as_overrides, read_preset

ROOT = Path(__file__).resolve().parents[2]
# pytest's importlib mode gives test files no common package to import from.
TOYS = SimpleNamespace(**runpy.run_path(str(ROOT / "tests/toys.py")))


@pytest.fixture(scope="session")
def toys():
    """The module tests/toys.py."""
    return TOYS


@pytest.fixture
def networks():
    """Make the networks of the committed parameters, but for some values."""

    def make(*overrides, preset=None, device="cpu", precision="fp32", words=50):
        path = ROOT / "params.yaml"
        values = as_overrides(dict(read_preset(preset, path))) if preset else []
        return Networks(
            params=load_params(path, [*values, *overrides]),
            runtime=Runtime(device=torch.device(device), precision=precision),
            words=words,
        )

    return make
