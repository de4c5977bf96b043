"""The clips of the fidelity benchmark: moving shapes, of which everything is known."""

import csv
import random
from dataclasses import replace
from pathlib import Path

from cvg.shapes.grammar import parse
from cvg.shapes.make import SetSettings, held_out_kinds, make_shapes
from cvg.shapes.scene import Borders
from cvg.shapes.world import WorldSettings

UNSEEN_KINDS = 16  # combinations of shape, colour and direction that no training clip has
LONG_FRAMES = 128


def make(folder: Path, *, size: int, borders: Borders, shuffled: bool = False) -> Path:
    """Make the clips, half on a plain ground and half on a texture; give the manifest.

    Straight ways and ways with turns, whose captions cannot tell the direction, are mixed, and some
    long clips are held out.

    Args:
        folder: for everything.
        size: height and width, pixels.
        borders: what shapes do at the edge.
        shuffled: whether training clips get the conditions of others, as a control.
    """
    world = WorldSettings(
        frames=16, size=size, seed=0, shapes=1, borders=borders, texture=False, turns=False
    )
    straight = SetSettings(
        world=world, clips=4000, fps=10, hold_out=UNSEEN_KINDS, held_out_share=0.025
    )
    turns = replace(world, turns=True)
    turning = replace(straight, world=replace(turns, seed=2), clips=1200, hold_out=0)
    sets = {
        "straight": straight,
        "straight_texture": replace(straight, world=replace(world, texture=True, seed=1)),
        "turns": turning,
        "turns_texture": replace(turning, world=replace(turns, texture=True, seed=3)),
        "long": replace(
            straight, world=replace(world, frames=LONG_FRAMES, seed=4), clips=20, hold_out=0
        ),
    }
    unseen = set(held_out_kinds(straight))
    rows: list[dict[str, str]] = []
    for name, settings in sets.items():
        make_shapes(folder / name, replace(settings, hold_out=0))
        rows += [_moved(row, name, unseen) for row in _read(folder / name / "manifest.csv")]
    if shuffled:
        _shuffle([row for row in rows if row["split"] == "train"])
    path = folder / "manifest.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)
    return path


def _moved(row: dict[str, str], name: str, unseen: set[tuple[str, ...]]) -> dict[str, str]:
    """Give a row of a set as one of the whole, on its side of the split."""
    files = {key: f"{name}/{row[key]}" for key in ("path", "actions", "map")}
    held_out = name == "long" or parse(row["caption"])[0].kind in unseen
    return row | files | {"set": name} | ({"split": "held_out"} if held_out else {})


def _shuffle(rows: list[dict[str, str]]) -> None:
    """Give each row the conditions of another."""
    names = ("caption", "label", "actions", "map")
    conditions = [{name: row[name] for name in names} for row in rows]
    random.Random(0).shuffle(conditions)
    for row, condition in zip(rows, conditions, strict=True):
        row.update(condition)


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
