"""A set on the disk: whole, true, and the same for the same settings."""

import csv
import hashlib
import json
from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pytest

from cvg.errors import UserError
from cvg.shapes.grammar import parse
from cvg.shapes.make import SetSettings, check_sample, held_out_kinds, make_shapes
from cvg.shapes.scene import Borders
from cvg.shapes.world import WorldSettings, make_clip
from cvg.videos.manifest import read_manifest

SMALL = WorldSettings(size=32, frames=5)


def rows(folder):
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.*"))
    }


def test_files_are_as_the_manifest_says(tmp_path):
    world = WorldSettings(size=32, frames=6, shapes=2, borders=Borders.BOUNCE)
    counts = make_shapes(tmp_path / "set", SetSettings(world=world, clips=20, fps=12.5))
    assert counts == {"train": 18, "held_out": 2}
    for number, row in enumerate(rows(tmp_path / "set")):
        clip = make_clip(world, number)
        assert parse(row["caption"]) == clip.scene
        assert row["label"].replace("_", " ") == f"{row['shape']} {row['direction']}"
        assert (row["colour"], row["speed_2"]) == (
            clip.scene[0].colour,
            clip.scene[1].motion.speed,
        )
        assert row["fps"] == "12.5"
        frames, actions, where = (
            np.load(tmp_path / "set" / row[name], allow_pickle=False)
            for name in ("path", "actions", "map")
        )
        assert (frames.shape, frames.dtype) == ((6, 32, 32, 3), np.uint8)
        assert (actions.shape, actions.dtype) == ((6, 2), np.float32)
        assert (where.shape, where.dtype) == ((6, 32, 32), np.uint8)
        np.testing.assert_array_equal(actions * 2, clip.paths[0].steps)
    assert check_sample(tmp_path / "set", 7) == (7, 7)


def test_the_project_reads_the_manifest(tmp_path):
    make_shapes(tmp_path / "set", SetSettings(world=SMALL, clips=3))
    manifest = read_manifest(tmp_path / "set" / "manifest.csv")
    assert not manifest.skips
    assert [entry.fps for entry in manifest.entries] == [10.0] * 3
    assert all(entry.actions.is_file() and entry.map.is_file() for entry in manifest.entries)
    settings = set(asdict(SMALL))
    told = {"shape", "colour", "direction", "speed"}
    assert manifest.entries[0].metadata.keys() == told | settings


@pytest.mark.parametrize(
    "change",
    [{"size": 48}, {"frames": 6}, {"seed": 1}, {"texture": False}, {"borders": Borders.BOUNCE}],
)
def test_other_pixels_have_another_manifest(tmp_path, change):
    """DVC watches the manifest, not the clips."""
    for name, world in (("a", SMALL), ("b", replace(SMALL, **change))):
        make_shapes(tmp_path / name, SetSettings(world=world, clips=2))
    first, second = (tmp_path / name / "manifest.csv" for name in "ab")
    assert first.read_bytes() != second.read_bytes()


@pytest.mark.parametrize("clips", [2, 5, 9])
def test_a_share_above_zero_holds_out_one_clip_at_least(tmp_path, clips):
    counts = make_shapes(tmp_path / "set", SetSettings(world=SMALL, clips=clips))
    assert counts == {"train": clips - 1, "held_out": 1}


def test_a_clip_does_not_depend_on_how_many_there_are(tmp_path):
    for name, clips in (("few", 4), ("more", 6), ("again", 6)):
        make_shapes(tmp_path / name, SetSettings(world=SMALL, clips=clips))
    assert digests(tmp_path / "more") == digests(tmp_path / "again")
    few, more = digests(tmp_path / "few"), digests(tmp_path / "more")
    arrays = {name: digest for name, digest in few.items() if name.endswith(".npy")}
    assert len(arrays) == 12
    assert arrays.items() <= more.items()


@pytest.mark.parametrize("turns", [False, True])
@pytest.mark.parametrize("shapes", [1, 2])
def test_held_out_kinds_are_in_no_training_clip(tmp_path, shapes, turns):
    world = WorldSettings(size=32, frames=2, shapes=shapes, turns=turns)
    settings = SetSettings(world=world, clips=120, hold_out=12, held_out_share=0)
    make_shapes(tmp_path / "set", settings)
    kinds = {tuple(kind) for kind in held_out_kinds(settings)}
    assert len(kinds) == 12
    written = json.loads((tmp_path / "set" / "shapes.json").read_text())
    assert {tuple(kind) for kind in written["held_out_kinds"]} == kinds
    length = 2 if turns else 3
    for row in rows(tmp_path / "set"):
        movers = make_clip(world, int(row["path"][6:11])).scene
        shown = {mover.kind[:length] for mover in movers}
        assert (row["split"] == "held_out") == bool(shown & kinds)
    assert {row["split"] for row in rows(tmp_path / "set")} == {"train", "held_out"}


def test_more_held_out_kinds_begin_with_the_same(tmp_path):
    few, more = (held_out_kinds(SetSettings(hold_out=count)) for count in (3, 30))
    assert more[:3] == few
    assert more != held_out_kinds(SetSettings(world=WorldSettings(seed=1), hold_out=30))
    for place, most in ((0, 14), (1, 14), (2, 14)):
        assert max(Counter(kind[place] for kind in more).values()) < most


@pytest.mark.parametrize(("share", "held_out"), [(0.0, 0), (0.1, 3), (0.25, 7), (0.3, 9)])
def test_the_share_is_held_out_exactly(tmp_path, share, held_out):
    settings = SetSettings(world=SMALL, clips=30, held_out_share=share)
    assert make_shapes(tmp_path / "set", settings).get("held_out", 0) == held_out


def test_a_shape_that_turns_has_no_direction_in_words(tmp_path):
    world = WorldSettings(size=32, turns=True)
    make_shapes(tmp_path / "set", SetSettings(world=world, clips=2))
    for row in rows(tmp_path / "set"):
        assert row["caption"] == f"a {row['colour']} {row['shape']}"
        assert row["label"] == row["shape"]
        assert "direction" not in row


def test_what_leaves_nothing_for_training_is_refused_and_leaves_no_folder(tmp_path):
    with pytest.raises(UserError, match="none of the 3 clips"):
        make_shapes(tmp_path / "set", SetSettings(world=SMALL, clips=3, held_out_share=1))
    with pytest.raises(UserError, match="expected less than 280"):
        make_shapes(tmp_path / "set", SetSettings(world=SMALL, clips=3, hold_out=280))
    assert not list(tmp_path.iterdir())


def test_a_folder_of_other_files_is_not_replaced(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match=r"no manifest\.csv"):
        make_shapes(tmp_path, SetSettings(world=SMALL, clips=1))
