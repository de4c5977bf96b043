"""What frames bring along, at whatever numbers they have."""

import numpy as np
import pytest

from cvg.frames.aligned import Aligned, shrink_maps
from cvg.frames.store import FrameStore
from cvg.frames.writer import FrameWriter

SIZE, CELLS, WIDTH = 16, 4, 3


@pytest.fixture(scope="module")
def made(toys, tmp_path_factory):
    """A store in which the first and the third of three videos bring actions and maps."""
    folder = tmp_path_factory.mktemp("aligned") / "frames"
    folder.mkdir()
    draws = np.random.default_rng(0)
    content, segments = {}, []
    with FrameWriter(folder, height=SIZE, width=SIZE, shard_bytes=10 * SIZE * SIZE * 3) as writer:
        for number, length in enumerate((9, 14, 7)):
            frames = draws.integers(0, 256, (length, SIZE, SIZE, 3)).astype(np.uint8)
            rows = {"first_action": None, "first_map": None}
            first = writer.append(frames)
            actions = maps = None
            if number != 1:
                actions = draws.standard_normal((length, WIDTH)).astype(np.float32)
                maps = draws.integers(0, 256, (length, SIZE, SIZE)).astype(np.uint8)
                rows["first_action"] = writer.append_actions(actions)
                rows["first_map"] = writer.append_maps(maps)
            segments.append(toys.segment(number, first, length, split="train", **rows))
            writer.add(segments[-1])
            content[number] = (frames, actions, maps)
    return FrameStore.open(folder), segments, content


def test_each_frame_has_its_own_whatever_is_read_at_once(made):
    store, segments, content = made
    aligned = Aligned(store, segments, map_cells=CELLS)
    assert set(aligned.item_shapes) == {"motion", "actions", "map"}
    total = sum(segment.num_frames for segment in segments)
    whole = aligned.read(0, total)
    for size in (1, 4, 11):
        parts = [aligned.read(i, min(size, total - i)) for i in range(0, total, size)]
        for name, array in whole.items():
            assert np.array_equal(
                np.concatenate([part[name] for part in parts]), array, equal_nan=name != "map"
            )
    for segment in segments:
        rows = slice(segment.first_frame, segment.first_frame + segment.num_frames)
        frames, actions, maps = content[segment.id]
        steps = np.abs(np.diff(frames.astype(float), axis=0)).mean((1, 2, 3))
        assert np.isnan(whole["motion"][rows][0])
        assert whole["motion"][rows][1:] == pytest.approx(steps, rel=1e-6)
        if actions is None:
            assert np.isnan(whole["actions"][rows]).all()
            assert not whole["map"][rows].any()
        else:
            assert np.array_equal(whole["actions"][rows], actions)
            assert np.array_equal(whole["map"][rows], shrink_maps(maps, CELLS))


def test_cells_of_a_map_are_means():
    maps = np.zeros((1, 4, 4), np.uint8)
    maps[0, 0, 0], maps[0, 2:, 2:] = 200, 255
    assert shrink_maps(maps, 2).tolist() == [[[50, 0], [0, 255]]]
    assert np.array_equal(shrink_maps(maps, 4), maps)


def test_maps_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="do not divide into 3 x 3 cells"):
        shrink_maps(np.zeros((1, 4, 4), np.uint8), 3)
