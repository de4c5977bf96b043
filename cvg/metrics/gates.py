"""The health gate: held-out figures of the VQGAN against the bounds of params.yaml."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cvg.config import CheckVqganParams
from cvg.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One figure and its bound."""

    figure: str  # dotted name
    value: float | None  # None: not measured
    bound: float | None  # in the unit of the figure; None: there is none
    kind: Literal["min", "max"]
    key: str  # of params.yaml
    remark: str = ""  # how the bound follows from the key, where they differ

    @property
    def passed(self) -> bool | None:
        """Whether the figure keeps its bound; None where one of them is missing.

        NaN never passes.
        """
        if self.value is None or self.bound is None:
            return None
        return self.value >= self.bound if self.kind == "min" else self.value <= self.bound

    @property
    def sentence(self) -> str:
        """The comparison in words, for a bound that is missed."""
        side = "below" if self.kind == "min" else "above"
        return (
            f"held-out {self.figure} is {self.value:.3g}, {side} {self.key} = "
            f"{self.remark or format(self.bound, 'g')}"
        )

    @property
    def is_open(self) -> bool:
        """Whether there is a bound, but no figure to hold against it."""
        return self.value is None and self.bound is not None

    @property
    def open_sentence(self) -> str:
        """What is asked for in vain, in words."""
        return f"held-out {self.figure} could not be measured, but {self.key} bounds it"

    def to_dict(self) -> dict[str, Any]:
        """Give the row of `gates.json`."""
        return {
            "figure": self.figure,
            "value": self.value,
            "bound": self.bound,
            "kind": self.kind,
            "key": self.key,
            "passed": self.passed,
        }


@dataclass(frozen=True, kw_only=True)
class Codebook:
    """How many codes there are, and how many could occur at all."""

    size: int
    places: int  # codes of all held-out frames together

    @property
    def reach(self) -> int:
        """The most codes that can occur: few frames cannot use a large codebook."""
        return min(self.size, self.places)


def hold_against(
    figures: Mapping[str, float], bounds: CheckVqganParams, *, codebooks: Mapping[str, Codebook]
) -> list[Gate]:
    """Compare figures with their bounds.

    Args:
        figures: by dotted name; those that were not measured are absent.
        bounds: from params.yaml.
        codebooks: of each level, coarse to fine. Bounds of usage and perplexity are shares of what
            these frames can reach.

    Returns:
        One gate for each figure that may have a bound, measured or not, bounded or not. A single
        level has no gate for what the top alone shows.
    """
    return [
        Gate(
            figure=figure,
            value=figures.get(figure),
            bound=None if bound is None else bound * scale,
            kind="min" if key.startswith("min_") else "max",
            key=f"check_vqgan.{key}",
            remark="" if bound is None or scale == 1 else f"{bound:g} of {_amount(scale)}",
        )
        for figure, key, bound, scale in _bounds(bounds, codebooks)
    ]


def _bounds(
    bounds: CheckVqganParams, codebooks: Mapping[str, Codebook]
) -> Iterator[tuple[str, str, float | None, float]]:
    """Yield figure, key, bound, and by what the bound is multiplied."""
    yield "vqgan.psnr", "min_psnr", bounds.min_psnr, 1
    if len(codebooks) > 1:
        yield "vqgan.psnr_top", "min_psnr_top", bounds.min_psnr_top, 1
    yield "vqgan.lpips", "max_lpips", bounds.max_lpips, 1
    yield "vqgan.fvd", "max_fvd", bounds.max_fvd, 1
    for level, book in codebooks.items():
        within_reach = book.reach / book.size
        yield f"codes.{level}.usage", "min_usage", bounds.min_usage, within_reach
        yield f"codes.{level}.perplexity", "min_perplexity", bounds.min_perplexity, book.reach
        yield f"codes.{level}.flips", "max_flips", bounds.max_flips, 1


def _amount(scale: float) -> str:
    """Say of what a bound is a share: of a number of codes, or of a share that is in reach."""
    return f"{scale:.3g}, the share in reach" if scale < 1 else f"{scale:g} codes"


def enforce(gates: Sequence[Gate], *, strict: bool) -> None:
    """Say loudly which bounds are missed.

    Raises:
        UserError: `strict` is set, and a figure misses its bound or could not be measured.
    """
    missed = [gate.sentence for gate in gates if gate.passed is False]
    if strict:
        missed += [gate.open_sentence for gate in gates if gate.is_open]
    if missed and strict:
        raise UserError(
            f"the VQGAN is not fit for use: {'; '.join(missed)}. docs/vqgan.md has what helps "
            "against each; a bound of null asks for nothing"
        )
    for sentence in missed:
        sys.stderr.write(f"WARNING: health gate: {sentence}; what follows can be no better\n")
