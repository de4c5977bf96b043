"""Checks of options that the bounds of older versions of Typer let pass."""

import math

import typer


def finite(value: float | None) -> float | None:
    """Refuse NaN, which is neither below a bound nor above it, and infinity."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"found {value}; expected a finite number")
    return value
