"""The outcome of an evaluation on disk."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.numpy import save_file

from cvg.files import replacing_folder, write_json
from cvg.metrics.suite import Suite


def write_suite(folder: Path, suite: Suite) -> None:
    """Write what stands behind the figures.

    - `protocol.json`: each figure with the protocol by which it was computed;
    - `horizon.csv`, `clips.csv`: figures by predicted frame, and by sample;
    - `pictures.safetensors`: some clips and frames to look at, and how often each code occurs;
    - `absent.json`: which figures are left out, and why.
    """
    with replacing_folder(folder) as temporary:
        write_json(temporary / "protocol.json", suite.scores)
        write_json(temporary / "absent.json", suite.absent)
        write_rows(temporary / "horizon.csv", suite.horizon)
        write_rows(temporary / "clips.csv", suite.clips)
        save_file(suite.pictures, temporary / "pictures.safetensors")


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV, numbers with six digits; the first row names the columns."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})


def flat_figures(tree: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Flatten nested figures to dotted names.

    >>> flat_figures({"sample": {"fvd": 3.0}})
    {'sample.fvd': 3.0}
    """
    flat: dict[str, float] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flat_figures(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = float(value)
    return flat
