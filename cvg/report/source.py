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

SPLITS = ("train", "held_out")
PICTURES = "pictures.safetensors"

Row = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Check:
    """What the health check of the VQGAN found.

    Attributes:
        gates: each figure that has a bound or could have one, with its verdict.
        scores: each figure of clips with its protocol.
        absent: a sentence for each figure that was left out.
    """

    gates: list[dict[str, Any]]
    scores: list[dict[str, Any]]
    absent: list[str]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Everything that the page shows.

    Attributes:
        figures: nested names to numbers, as in metrics.json; those of the VQGAN are of its check.
        levels: names of the levels of codes, coarse to fine.
        scores: each figure of clips with its protocol.
        absent: a sentence for each figure that was left out.
        horizon: rows of figures by candidate and predicted frame.
        clips: rows of figures of each sample.
        pictures: uint8 clips and frames to look at, and counts of codes.
        extraction: the account of the videos found, used and skipped.
        training: how the training of the VQGAN ended.
        check: health of the VQGAN.
        curves: rows of figures by step of each training; empty where none were recorded.
        contact_sheets: PNG of each side of the split that has one.
        overview: PNG of the data, None where there is none.
        ablation: rows of what was tried with the VQGAN; empty where nothing was given.
    """

    figures: Mapping[str, Any]
    levels: tuple[str, ...]
    scores: list[dict[str, Any]]
    absent: list[str]
    horizon: list[Row]
    clips: list[Row]
    pictures: dict[str, np.ndarray]
    extraction: Mapping[str, Any]
    training: Mapping[str, Any]
    check: Check
    curves: dict[str, list[Row]]
    contact_sheets: dict[str, Path]
    overview: Path | None
    ablation: list[Row]
    transformers: Mapping[str, Any]  # figures of their check
    truth: list[Row]
    drift: list[Row]
    orders: list[Row]
    critic: Mapping[str, Any]  # figures of the critic; empty where there is none
    finetuning: list[Row]
    accepted: Mapping[str, Any]  # the figures of an accepted run, and which it was; may be empty


@dataclass(frozen=True, kw_only=True)
class SourcePaths:
    """Where the other stages wrote what the page is made of.

    Attributes:
        frames: the frame store.
        vqgan: the trained VQGAN.
        health: folder of its health check.
        metrics: JSON file of the figures.
        scores: folder of protocols, rows and pictures.
        plots: folder of the training curves.
        transformers: folder of the check of the transformers.
        ablation: CSV of what was tried with the VQGAN, or None.
        orders: CSV of the orders of codes beside each other, or None.
        critic: the pretrained critic, or None.
        finetuning: CSV of what fine-tuning changed, or None.
        accepted: JSON file of the figures of the last accepted run, or None.
    """

    frames: Path
    vqgan: Path
    health: Path
    metrics: Path
    scores: Path
    plots: Path
    transformers: Path
    ablation: Path | None = None
    orders: Path | None = None
    critic: Path | None = None
    finetuning: Path | None = None
    accepted: Path | None = None


def read_source(paths: SourcePaths) -> Source:
    """Read the outputs of the other stages.

    Raises:
        UserError: a file is missing or cannot be read, or the frames are of another version.
    """
    frames, health, scores, plots = paths.frames, paths.health, paths.scores, paths.plots
    sheets = {split: frames / f"contact_{split}.png" for split in SPLITS}
    overview = frames / "overview.png"
    of_vqgan = read_json(health / "figures.json")
    levels = tuple(of_vqgan["codes"])
    curves = ("vqgan", *(f"transformer_{level}" for level in levels), "critic", "finetune")
    return Source(
        figures=read_json(paths.metrics) | of_vqgan,
        levels=levels,
        scores=read_json(scores / "protocol.json"),
        absent=read_json(scores / "absent.json"),
        horizon=_read_rows(scores / "horizon.csv"),
        clips=_read_rows(scores / "clips.csv"),
        pictures=_read_pictures(scores / PICTURES, stage="evaluate")
        | _read_pictures(health / PICTURES, stage="check_vqgan"),
        extraction=read_report(frames / "report.json"),
        training=read_json(paths.vqgan / "health.json"),
        check=_read_check(health),
        curves={name: _read_rows(plots / f"{name}.csv", needed=False) for name in curves},
        contact_sheets={split: path for split, path in sheets.items() if path.is_file()},
        overview=overview if overview.is_file() else None,
        ablation=_read_rows(paths.ablation) if paths.ablation else [],
        transformers=read_json(paths.transformers / "figures.json"),
        truth=_read_rows(paths.transformers / "by_frame.csv"),
        drift=_read_rows(paths.transformers / "drift.csv"),
        orders=_read_rows(paths.orders) if paths.orders else [],
        critic=read_json(paths.critic / "figures.json") if paths.critic else {},
        finetuning=_read_rows(paths.finetuning) if paths.finetuning else [],
        accepted=read_json(paths.accepted) if paths.accepted else {},
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
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, restval=""))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not CSV ({error}); run the stage that writes it") from error
    for number, row in enumerate(rows, start=1):
        if None in row:
            raise UserError(
                f"{path}: row {number} has more fields than the header; a text that holds a comma "
                "has to stand in quotes"
            )
    return rows


def _read_check(folder: Path) -> Check:
    return Check(
        gates=read_json(folder / "gates.json"),
        scores=read_json(folder / "protocol.json"),
        absent=read_json(folder / "absent.json"),
    )


def _read_pictures(path: Path, *, stage: str) -> dict[str, np.ndarray]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not readable ({error}); run the {stage} stage again") from error
