"""Tiny videos, and other toys, for the tests of this folder."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

# pytest's importlib mode gives test files no common package to import from.
TESTS = Path(__file__).parents[1]
TOYS = SimpleNamespace(**runpy.run_path(str(TESTS / "toys.py")))
films = runpy.run_path(str(TESTS / "films.py"))["films"]


@pytest.fixture(scope="session")
def toys():
    """The module tests/toys.py."""
    return TOYS


web = runpy.run_path(str(TESTS / "web.py"))["web"]
