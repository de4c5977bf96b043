"""The picture of the data: whole, the same every time, and moved by what it shows."""

from dataclasses import replace
from io import BytesIO

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from cvg.frames.overview import write_overview
from cvg.frames.report import MOTION_EDGES, ExtractReport, UsedVideo
from cvg.segments import Segment
from cvg.videos.skips import Skip, SkipCode

BINS = len(MOTION_EDGES) - 1
EMPTY = (0,) * BINS
# Where the picture shows it: rows, then columns.
PANELS = {
    "durations": np.s_[100:470, 0:430],
    "sizes": np.s_[100:470, 430:960],
    "rates": np.s_[100:470, 960:1400],
    "motion": np.s_[490:900, 0:430],
    "skips": np.s_[490:900, 430:960],
    "conditions": np.s_[490:900, 960:1400],
}


def video(number, **changes):
    part = Segment(
        id=number,
        video=f"{number}.mp4",
        split="held_out" if number % 5 == 4 else "train",
        first_frame=0,
        num_frames=20,
        fps=10.0,
        start_s=0.0,
        motion=2.5,
        first_action=None,
        first_map=None,
        caption=changes.pop("caption", None),
        label=None,
        metadata="{}",
    )
    values = {
        "file": f"{number}.mp4",
        "row": None,
        "sha256": "0" * 64,
        "width": 64,
        "height": 48,
        "frames": 20,
        "fps": 10.0,
        "seconds": 2.0,
        "motion": 2.5,
        "shots": 1,
        "dropped": {},
        "segments": (part,),
    }
    return UsedVideo(**(values | changes))


def report(videos, skips=()):
    return ExtractReport(
        found=len(videos) + len(skips),
        used=len(videos),
        skips=tuple(skips),
        notes=(),
        videos=tuple(videos),
        ignored={},
        motion_counts={"train": (0, 5, *EMPTY[2:]), "held_out": (0, 0, 9, *EMPTY[3:])},
    )


def skip(code):
    return Skip(file="x.mp4", row=None, code=code, reason="")


def pixels(path, shown):
    write_overview(shown, path)
    with Image.open(BytesIO(path.read_bytes())) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def varied(count):
    draws = np.random.default_rng(0)
    return [
        video(
            number,
            width=int(draws.integers(1, 9999)),
            height=int(draws.integers(1, 9999)),
            fps=float(draws.uniform(1, 120)),
            seconds=float(draws.lognormal(3, 2)),
        )
        for number in range(count)
    ]


ALL_CODES = [skip(code) for number, code in enumerate(SkipCode) for _ in range(1 + 40 * number)]


@pytest.mark.parametrize(
    "shown",
    [
        report([video(0)]),
        report([video(number) for number in range(3)], [skip(SkipCode.NO_VIDEO_STREAM)]),
        report(varied(3000), ALL_CODES),
        replace(report([video(0)]), motion_counts={"train": EMPTY, "held_out": EMPTY}),
    ],
    ids=["one", "alike", "many", "still"],
)
def test_picture_has_its_size_and_nothing_is_cut_off(tmp_path, shown):
    found = pixels(tmp_path / "a.png", shown)
    assert found.shape == (900, 1400, 3)
    edges = [found[:8], found[-8:], found[:, :8], found[:, -8:]]
    assert all((edge == 255).all() for edge in edges)
    assert all((found[panel] < 255).any() for panel in PANELS.values())


def test_settings_of_the_user_change_nothing_and_stay(tmp_path, monkeypatch):
    shown = report(varied(20), [skip(SkipCode.CORRUPT)])
    write_overview(shown, tmp_path / "a.png")
    monkeypatch.setitem(mpl.rcParams, "axes.facecolor", "red")
    monkeypatch.setitem(mpl.rcParams, "font.size", 30.0)
    write_overview(shown, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as picture:
        assert "Software" not in picture.info
    assert (mpl.rcParams["axes.facecolor"], mpl.rcParams["font.size"]) == ("red", 30.0)


@pytest.mark.slow
@pytest.mark.ci
def test_each_panel_shows_its_own_figure_and_no_other(tmp_path):
    usual = report([video(0), video(1)], [skip(SkipCode.CORRUPT)])
    motion = {"train": (5, 5, *EMPTY[2:]), "held_out": EMPTY}
    others = {
        "durations": report([video(0), video(1, seconds=3.0)], usual.skips),
        "sizes": report([video(0), video(1, width=80)], usual.skips),
        "rates": report([video(0), video(1, fps=25.0)], usual.skips),
        "motion": replace(usual, motion_counts=motion),
        "skips": report(usual.videos, [skip(SkipCode.HDR)]),
        "conditions": report([video(0), video(1, caption="a")], usual.skips),
    }
    before = pixels(tmp_path / "a.png", usual)
    for name, shown in others.items():
        after = pixels(tmp_path / "b.png", shown)
        changed = {key for key, panel in PANELS.items() if (after[panel] != before[panel]).any()}
        assert changed == {name}
