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


@pytest.fixture(params=["top", "bottom"])
def layout(request):
    """The layout of each level in turn."""
    from cvg.codes.layout import layout_of

    return layout_of(request.param, TOYS.GRIDS)


@pytest.fixture
def conditions():
    """Conditions of three videos of seven frames: with everything, with some, with nothing."""
    return TOYS.gathered(TOYS.toy_conditions(), 7)


@pytest.fixture
def make_sequence():
    """Random codes of clips, in the order of a layout."""
    import torch

    def make(layout, *, clips=3, frames=7, seed=0):
        draws = TOYS.rng(seed)
        codes = {
            grid.level: torch.randint(
                grid.codebook_size, (clips, frames, grid.rows, grid.columns), generator=draws
            )
            for grid in layout.grids
        }
        return layout.to_sequence(codes)

    return make
