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


@pytest.fixture
def vqgan():
    """A VQGAN of random weights and filled codebooks, in evaluation mode."""
    return TOYS.toy_vqgan()


@pytest.fixture
def frames():
    """Six smooth pictures in [-1, 1]."""
    return TOYS.toy_frames(6)


@pytest.fixture
def params():
    """Parameters of the VQGAN at toy size."""
    return TOYS.toy_params().vqgan
