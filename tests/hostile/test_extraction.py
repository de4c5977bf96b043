"""What no file does alone: decoders that die or hang, and files that change while they are read."""

import os
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from cvg.frames import extract as extraction
from cvg.hostile.corpus import hostile_params
from cvg.hostile.media import Recipe, encode
from cvg.params import load_params
from cvg.videos.skips import SkipCode

HERE = Path(__file__).parent
LONG = Recipe(container="mpegts", codec="mpeg2video", frames=1500)


@pytest.fixture
def params(root):
    return hostile_params(load_params(root / "params.yaml").extract, {})


@pytest.fixture
def extract(params, tmp_path):
    def run(**changes):
        return extraction.extract(
            tmp_path / "videos",
            out=tmp_path / "store",
            params=params.model_copy(update=changes),
            seed=0,
            workers=2,
        )

    return run


@pytest.fixture
def mutants(monkeypatch):
    """The module of the functions that run in children, which look for it where we do."""
    monkeypatch.syspath_prepend(str(HERE))
    return __import__("mutants")


@contextmanager
def changing(path, change):
    """Have a thread change the size of a file all the time."""
    done = threading.Event()

    def work():
        while not done.wait(0.01):
            os.truncate(path, path.stat().st_size + change)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def films(folder, *names, recipe=None):
    folder.mkdir()
    for film, name in enumerate(names, 1):
        (folder / name).write_bytes(encode(recipe or Recipe(), film=film))


@pytest.mark.slow
@pytest.mark.ci
def test_decoders_that_die_or_hang_cost_their_own_video_only(
    extract, mutants, monkeypatch, params, tmp_path
):
    monkeypatch.setattr("cvg.frames.shooting.shoot", mutants.shoot_or_die)
    films(tmp_path / "videos", "a.mp4", "abort.mp4", "b.mp4", "hang.mp4", "z.mp4")
    report = extract(limits=params.limits.model_copy(update={"seconds": 2.0}))
    assert {skip.file: skip.code for skip in report.skips} == {
        "abort.mp4": SkipCode.DECODER_CRASH,
        "hang.mp4": SkipCode.TIMEOUT,
    }
    assert [video.file for video in report.videos] == ["a.mp4", "b.mp4", "z.mp4"]


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_that_shrinks_or_grows_is_left_out(extract, tmp_path, change):
    folder = tmp_path / "videos"
    films(folder, "a.ts", "b.ts", "c.ts", recipe=replace(LONG, frames=40))
    (folder / "b.ts").write_bytes(encode(LONG, film=9))
    with changing(folder / "b.ts", change):
        report = extract()
    assert [(skip.file, skip.code) for skip in report.skips] == [("b.ts", SkipCode.CHANGED)]
    assert [video.file for video in report.videos] == ["a.ts", "c.ts"]
