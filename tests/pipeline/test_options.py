"""Numbers on the command line."""

import math

import pytest
import typer

from pipeline.options import finite


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(value):
    with pytest.raises(typer.BadParameter, match="expected a finite number"):
        finite(value)


@pytest.mark.parametrize("value", [None, 0.0, 25.0])
def test_other_values_pass(value):
    assert finite(value) is value
