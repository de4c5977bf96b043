"""The figures of the transformers on disk."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cvg.files import replacing_folder, write_json, write_rows
from cvg.metrics.drift import Horizon
from cvg.metrics.names import figure_key

FIGURES = "figures.json"


def write_check(
    folder: Path,
    *,
    likelihoods: Mapping[str, Mapping[str, float]] | None,
    by_frame: Sequence[Mapping[str, float | int]],
    drift: Sequence[Horizon],
) -> dict[str, Any]:
    """Write the figures of the transformers.

    - `figures.json`: `nll` in nats a code by truth seen and level, with `bits_per_pixel`; `drift`
      by horizon;
    - `by_frame.csv`: bits a pixel by frame and truth seen;
    - `drift.csv`: figures of long videos by horizon.

    Args:
        folder: to be replaced.
        likelihoods: by truth seen; None where the models have none.
        by_frame: rows.
        drift: of long videos.

    Returns:
        the figures.
    """
    figures: dict[str, Any] = {} if likelihoods is None else {"nll": dict(likelihoods)}
    figures["drift"] = {f"to_{row.end}": _figures(row) for row in drift}
    with replacing_folder(folder, marker=FIGURES) as temporary:
        write_json(temporary / FIGURES, figures)
        write_rows(temporary / "by_frame.csv", by_frame)
        horizons = [{"from": row.first + 1, "to": row.end} | _figures(row) for row in drift]
        write_rows(temporary / "drift.csv", horizons)
    return figures


def _figures(row: Horizon) -> dict[str, float]:
    return {
        "motion": row.motion,
        "real_motion": row.real_motion,
        "motion_distance": row.motion_distance,
        "repeated": row.repeated,
    } | {figure_key(name): value for name, value in row.paired.items()}
