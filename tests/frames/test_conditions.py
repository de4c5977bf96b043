"""Frames, actions and maps stay aligned whatever is chosen, cut and windowed.

The number of the source frame is planted in all three, and read back.
"""

import numpy as np
import pytest

from cvg.frames.extract import extract
from cvg.frames.store import FrameStore
from cvg.params import load_params
from cvg.segments import Windows


@pytest.fixture(scope="session")
def params(root):
    """The committed values, at toy size."""
    return load_params(root / "params.yaml").extract.model_copy(
        update={
            "frame_size": 32,
            "min_frames": 6,
            "split_gap_s": 0.12,
            "shard_mb": 1,
            "max_skipped": 1.0,
        }
    )


@pytest.fixture
def folder(films, tmp_path):
    """One video of numbered frames with actions and a map that carry the same numbers."""
    films.write(tmp_path / "a.mp4", frames=100)
    films.write(tmp_path / "plain.mp4", frames=60, first=120)
    rows = np.stack([np.arange(100), np.arange(100) ** 2], axis=1)
    np.save(tmp_path / "actions.npy", rows)
    np.savetxt(tmp_path / "actions.csv", rows, delimiter=",")
    maps = np.broadcast_to(np.arange(100, dtype=np.uint8)[:, None, None] * 2, (100, 16, 16))
    np.save(tmp_path / "map.npy", np.ascontiguousarray(maps))
    return tmp_path


def manifest(folder, *rows, header="path,actions,map"):
    (folder / "m.csv").write_text("\n".join([header, *rows, "plain.mp4" + "," * header.count(",")]))
    return folder / "m.csv"


def aligned(store, films, length=5):
    """Read every window of the video that has all three; returns the numbers seen."""
    segments = [part for split in ("train", "held_out") for part in store.segments(split)]
    numbers = []
    for window in Windows([part for part in segments if part.video == "a.mp4"], length=length):
        span = (window.segment, window.start, window.length)
        seen = [films.number_of(frame) for frame in store.window(*span)]
        assert store.actions(*span)[:, 0].tolist() == seen
        assert store.actions(*span)[:, 1].tolist() == [number**2 for number in seen]
        assert (store.maps(*span).astype(int).mean(axis=(1, 2)) / 2).tolist() == seen
        numbers += seen
    return sorted(set(numbers))


@pytest.mark.parametrize("actions", ["actions.npy", "actions.csv"])
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [*range(77), *range(80, 100)]),
        ({"stride": 3, "split_gap_s": 0.0}, list(range(0, 100, 3))),
        ({"fps": 12.5, "split_gap_s": 0.0}, list(range(0, 100, 2))),
        ({"fps": 5.0, "split": "video"}, list(range(0, 100, 5))),
        ({"shots": "adaptive", "split": "video", "min_frames": 1}, list(range(100))),
    ],
)
def test_all_three_carry_the_same_number(films, folder, params, actions, changes, expected):
    chosen = params.model_copy(update={"shots": "none", **changes})
    report = extract(
        manifest(folder, f"a.mp4,{actions},map.npy"),
        out=folder / "out",
        params=chosen,
        seed=0,
        workers=1,
    )
    assert report.skips == ()
    length = 1 if chosen.min_frames == 1 else 5
    assert aligned(FrameStore.open(folder / "out"), films, length) == expected


def test_a_range_keeps_them_aligned_too(films, folder, params):
    path = manifest(folder, "a.mp4,actions.npy,map.npy,1,3", header="path,actions,map,start,end")
    off = params.model_copy(update={"shots": "none", "split": "video", "stride": 2})
    extract(path, out=folder / "out", params=off, seed=0, workers=1)
    assert aligned(FrameStore.open(folder / "out"), films) == list(range(25, 75, 2))


def test_what_a_video_does_not_have_is_not_made_up(folder, params):
    off = params.model_copy(update={"shots": "none"})
    extract(
        manifest(folder, "a.mp4,actions.npy,"), out=folder / "out", params=off, seed=0, workers=1
    )
    store = FrameStore.open(folder / "out")
    with_actions = {part.video: part.first_action is not None for part in store.segments("train")}
    assert with_actions == {"a.mp4": True, "plain.mp4": False}
    assert all(part.first_map is None for part in store.segments("train"))
    plain = next(part for part in store.segments("train") if part.video == "plain.mp4")
    with pytest.raises(ValueError, match=r"plain\.mp4"):
        store.actions(plain, 0, 2)


@pytest.mark.parametrize(
    ("cells", "code", "reason"),
    [
        ("short.npy,", "BAD_ACTIONS", "found 99 rows; expected 100"),
        ("wide.npy,", "BAD_ACTIONS", "found 3 columns; expected 2"),
        (",short_map.npy", "BAD_MAP", "found 90 frames of the map; expected 100"),
        (",text.mp4", "BAD_MAP", "NOT_MEDIA"),
    ],
)
def test_conditions_that_do_not_fit_leave_the_video_out(folder, params, cells, code, reason):
    np.save(folder / "short.npy", np.zeros((99, 2)))
    np.save(folder / "wide.npy", np.zeros((100, 3)))
    np.save(folder / "plain.npy", np.zeros((60, 2)))
    np.save(folder / "short_map.npy", np.zeros((90, 16, 16), dtype=np.uint8))
    (folder / "text.mp4").write_text("hello")
    (folder / "m.csv").write_text(f"path,actions,map\nplain.mp4,plain.npy,\na.mp4,{cells}\n")
    off = params.model_copy(update={"shots": "none"})
    report = extract(folder / "m.csv", out=folder / "out", params=off, seed=0, workers=1)
    (skip,) = report.skips
    assert (skip.file, str(skip.code)) == ("a.mp4", code)
    assert reason in skip.reason
