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
