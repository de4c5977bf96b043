"""Toys for the tests of this folder."""

import runpy
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
def store(tmp_path_factory):
    """Random codes of the toy segments."""
    return TOYS.write_codes(tmp_path_factory.mktemp("critic") / "codes")


@pytest.fixture(params=["pixels", "codes"])
def sight(request):
    """The toy VQGAN, seen from either side of its decoder."""
    from cvg.critic.sight import Sight

    return Sight(vqgan=TOYS.toy_vqgan().requires_grad_(False), input=request.param)
