"""What the page is made of, as the stages before it wrote it."""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from cvg.errors import UserError
from cvg.files import read_json
from cvg.frames.report import read_report

LEVELS = ("top", "bottom")
SPLITS = ("train", "held_out")
CURVES = ("vqgan", *(f"transformer_{level}" for level in LEVELS))

Row = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Everything that the page shows.

    Attributes:
        figures: nested names to numbers, as in metrics.json.
        scores: each figure of clips with its protocol.
        absent: a sentence for each figure that was left out.
        horizon: rows of figures by candidate and predicted frame.
        clips: rows of figures of each sample.
        pictures: uint8 clips and frames to look at, and counts of codes.
        extraction: the account of the videos found, used and skipped.
        health: figures of the best VQGAN, and warnings of its gate.
        curves: rows of figures by step of each training; empty where none were recorded.
        contact_sheets: PNG of each side of the split that has one.
        overview: PNG of the data, None where there is none.
    """

    figures: Mapping[str, Any]
    scores: list[dict[str, Any]]
    absent: list[str]
    horizon: list[Row]
    clips: list[Row]
    pictures: dict[str, np.ndarray]
    extraction: Mapping[str, Any]
    health: Mapping[str, Any]
    curves: dict[str, list[Row]]
    contact_sheets: dict[str, Path]
    overview: Path | None


def read_source(*, frames: Path, vqgan: Path, metrics: Path, scores: Path, plots: Path) -> Source:
    """Read the outputs of the other stages.

    Args:
        frames: the frame store.
        vqgan: the trained VQGAN.
        metrics: JSON file of the figures.
        scores: folder of protocols, rows and pictures.
        plots: folder of the training curves.

    Raises:
        UserError: a file is missing or cannot be read, or the frames are of another version.
    """
    sheets = {split: frames / f"contact_{split}.png" for split in SPLITS}
    overview = frames / "overview.png"
    return Source(
        figures=read_json(metrics),
        scores=read_json(scores / "protocol.json"),
        absent=read_json(scores / "absent.json"),
        horizon=_read_rows(scores / "horizon.csv"),
        clips=_read_rows(scores / "clips.csv"),
        pictures=_read_pictures(scores / "pictures.safetensors"),
        extraction=read_report(frames / "report.json"),
        health=read_json(vqgan / "health.json"),
        curves={name: _read_rows(plots / f"{name}.csv", needed=False) for name in CURVES},
        contact_sheets={split: path for split, path in sheets.items() if path.is_file()},
        overview=overview if overview.is_file() else None,
    )


def figure(tree: Mapping[str, Any], dotted: str) -> float | None:
    """Look up a figure by its dotted name; None where it is absent or no finite number.

    >>> figure({"sample": {"fvd": 3.0}}, "sample.fvd")
    3.0
    """
    node: Any = tree
    for part in dotted.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
    return finite(node)


def finite(value: Any) -> float | None:
    """Read a number; None where it is empty, no number, or not finite."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _read_rows(path: Path, *, needed: bool = True) -> list[Row]:
    if not path.is_file():
        if needed:
            raise UserError(f"{path}: no such file; run the stage that writes it (see dvc.yaml)")
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, restval=""))


def _read_pictures(path: Path) -> dict[str, np.ndarray]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not readable ({error}); run the evaluate stage again") from error
