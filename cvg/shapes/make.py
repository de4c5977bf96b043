"""Writing a set of made clips: pictures, captions, actions and maps, all of them exactly true."""

import csv
from collections import Counter
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path

import numpy as np

from cvg.errors import UserError
from cvg.files import replacing_folder, write_json
from cvg.progress import Steps
from cvg.shapes.draw import draw_frames, draw_map
from cvg.shapes.grammar import caption
from cvg.shapes.oracle import fidelity
from cvg.shapes.scene import COLOURS, DIRECTIONS, SHAPES, Mover
from cvg.shapes.world import Clip, WorldSettings, draw, make_clip
from cvg.videos.table import write_manifest

FORMAT_VERSION = 1
MANIFEST = "manifest.csv"
_MILLION = 1_000_000

Kind = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SetSettings:
    """What a set of clips is made of.

    Attributes:
        world: what all clips share.
        clips: how many.
        fps: frames a second that the manifest says.
        hold_out: kinds of shapes (shape, colour and direction together) that no training clip has.
        held_out_share: share of the clips, evenly spaced, that are held out besides; above 0 it is
            one clip at least.
    """

    world: WorldSettings = field(default_factory=WorldSettings)
    clips: int = 500
    fps: float = 10.0
    hold_out: int = 0
    held_out_share: float = 0.1


def make_shapes(folder: Path, settings: SetSettings) -> dict[str, int]:
    """Write a set of clips with its manifest, whole or not at all.

    Args:
        folder: gets `manifest.csv`, `shapes.json` (the settings), and for clip k `clips/k.npy`
            (uint8 [t, h, w, 3]), `actions/k.npy` (float32 [t, 2]: pixels right and down that the
            first shape moves to the next frame) and `maps/k.npy` (uint8 [t, h, w]: 255 where the
            first shape is).
        settings: what to make.

    Returns:
        The number of clips of each split.

    Raises:
        UserError: `folder` is not ours to replace, or nothing would be left for training.
    """
    kinds = held_out_kinds(settings)
    world = settings.world
    rows: list[dict[str, object]] = []
    with (
        replacing_folder(folder, marker=MANIFEST) as temporary,
        Steps("make shapes", total=settings.clips) as steps,
    ):
        for part in ("clips", "actions", "maps"):
            (temporary / part).mkdir()
        for number in range(settings.clips):
            clip = make_clip(world, number)
            row = _row(clip, number, _split(clip, number, settings, kinds), settings)
            np.save(temporary / str(row["path"]), draw_frames(clip, world, number))
            actions = (clip.paths[0].steps / 2).astype(np.float32)
            np.save(temporary / str(row["actions"]), actions)
            np.save(temporary / str(row["map"]), draw_map(clip, world))
            rows.append(row)
            steps.advance()
        counts = Counter(str(row["split"]) for row in rows)
        if not counts["train"]:
            raise UserError(
                f"none of the {settings.clips} clips would be left for training; make more clips, "
                "or lower --hold-out or --held-out-share"
            )
        write_manifest(temporary / MANIFEST, rows)
        header = {"format_version": FORMAT_VERSION, "settings": asdict(settings)}
        write_json(temporary / "shapes.json", header | {"held_out_kinds": kinds})
    return dict(counts)


def held_out_kinds(settings: SetSettings) -> list[Kind]:
    """Choose the kinds that no training clip has; more of them begin with the same ones.

    Raises:
        UserError: there are not that many.
    """
    world = settings.world
    kinds = [*product(SHAPES, COLOURS, *([] if world.turns else [DIRECTIONS]))]
    if settings.hold_out >= len(kinds):
        raise UserError(
            f"--hold-out is {settings.hold_out}; expected less than {len(kinds)}, the number of "
            f"combinations of shape{' and colour' if world.turns else ', colour and direction'}"
        )
    order = sorted(kinds, key=lambda kind: draw(2**64, world.seed, "hold out", *kind))
    return order[: settings.hold_out]


def check_sample(folder: Path, count: int) -> tuple[int, int]:
    """Read evenly spaced clips of a set from their pixels; give how many are as told, of how many.

    Args:
        folder: of `make_shapes`.
        count: clips to read at most.
    """
    with (folder / MANIFEST).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = rows[:: -(-len(rows) // count)]
    right = 0
    for row in chosen:
        frames = np.load(folder / row["path"], allow_pickle=False)
        right += fidelity(frames, row["caption"])["all"] == 1
    return right, len(chosen)


def _split(clip: Clip, number: int, settings: SetSettings, kinds: list[Kind]) -> str:
    if any(_kind(mover, settings.world) in kinds for mover in clip.scene):
        return "held_out"
    # In whole numbers: the clip at which the running count of held-out ones goes up.
    share = round(settings.held_out_share * _MILLION)
    rises = (number + 1) * share // _MILLION > number * share // _MILLION
    last_chance = number + 1 == settings.clips and settings.clips * share < _MILLION
    return "held_out" if rises or (last_chance and settings.held_out_share > 0) else "train"


def _kind(mover: Mover, world: WorldSettings) -> Kind:
    return mover.kind[:2] if world.turns else mover.kind


def _row(clip: Clip, number: int, split: str, settings: SetSettings) -> dict[str, object]:
    first = clip.scene[0]
    motion = first.motion
    row: dict[str, object] = {
        "path": f"clips/{number:05}.npy",
        "caption": caption(clip.scene),
        "label": "_".join((first.shape, *(motion.direction.split() if motion else ()))),
        "split": split,
        "fps": f"{settings.fps:g}",
        "actions": f"actions/{number:05}.npy",
        "map": f"maps/{number:05}.npy",
    }
    for mover, ending in zip(clip.scene, ("", "_2"), strict=False):
        row[f"shape{ending}"] = mover.shape
        row[f"colour{ending}"] = mover.colour
        row[f"direction{ending}"] = mover.motion.direction if mover.motion else None
        row[f"speed{ending}"] = mover.motion.speed if mover.motion else None
    # All that the pixels depend on, because DVC watches the manifest and not the clips.
    return row | {name: str(value).lower() for name, value in asdict(settings.world).items()}
