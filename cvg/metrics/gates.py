"""The health gate: held-out figures of the VQGAN against the bounds of params.yaml."""

import sys
from collections.abc import Iterable, Iterator, Mapping
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


def hold_against(
    figures: Mapping[str, float], bounds: CheckVqganParams, *, codebooks: Mapping[str, int]
) -> list[Gate]:
    """Compare figures with their bounds.

    Args:
        figures: by dotted name; those that were not measured are absent.
        bounds: from params.yaml.
        codebooks: number of codes of each level, coarse to fine.

    Returns:
        One gate for each figure that may have a bound, measured or not, bounded or not.
    """
    return [
        Gate(
            figure=figure,
            value=figures.get(figure),
            bound=None if bound is None else bound * scale,
            kind="min" if key.startswith("min_") else "max",
            key=f"check_vqgan.{key}",
            remark="" if bound is None or scale == 1 else f"{bound:g} of {scale} codes",
        )
        for figure, key, bound, scale in _bounds(bounds, codebooks)
    ]


def _bounds(
    bounds: CheckVqganParams, codebooks: Mapping[str, int]
) -> Iterator[tuple[str, str, float | None, int]]:
    """Yield figure, key, bound, and by what the bound is multiplied."""
    yield "vqgan.psnr", "min_psnr", bounds.min_psnr, 1
    yield "vqgan.psnr_top", "min_psnr_top", bounds.min_psnr_top, 1
    yield "vqgan.lpips", "max_lpips", bounds.max_lpips, 1
    yield "vqgan.fvd", "max_fvd", bounds.max_fvd, 1
    for level, size in codebooks.items():
        yield f"codes.{level}.usage", "min_usage", bounds.min_usage, 1
        yield f"codes.{level}.perplexity", "min_perplexity", bounds.min_perplexity, size
        yield f"codes.{level}.flips", "max_flips", bounds.max_flips, 1


def enforce(gates: Iterable[Gate], *, strict: bool) -> None:
    """Say loudly which bounds are missed.

    Raises:
        UserError: one is missed, and `strict` is set.
    """
    missed = [gate.sentence for gate in gates if gate.passed is False]
    if missed and strict:
        raise UserError(
            f"the VQGAN is not fit for use: {'; '.join(missed)}; train longer (vqgan.steps), or "
            "loosen the bound; nothing was written"
        )
    for sentence in missed:
        sys.stderr.write(f"WARNING: health gate: {sentence}; what follows can be no better\n")
