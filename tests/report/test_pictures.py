"""Pictures of the page: no pixel is changed, and the page stays small."""

import base64
import io

import numpy as np
from PIL import Image

from cvg.report import pictures
from cvg.report.pictures import films, strips


def pixels(picture):
    data = base64.b64decode(picture.uri.removeprefix("data:image/webp;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_each_frame_of_each_clip_is_where_the_page_looks_for_it(source_of):
    source = source_of()
    shown = films(source)
    sprite = pixels(shown.films[1].picture)
    for row, name in enumerate(("truth", "sample", "reconstruction", "repeat_last", "nearest")):
        for frame in range(6):
            found = sprite[row * 16 : row * 16 + 16, frame * 16 : frame * 16 + 16]
            assert (found == source.pictures[f"clips.{name}"][1, frame]).all()


def test_film_carries_what_is_known_about_its_clip(source_of):
    assert [film.name for film in films(source_of()).films] == [
        "video0.mp4#0",
        "video1.mp4#1",
        "video0.mp4#2",
    ]


def test_clips_without_room_are_counted(source_of, monkeypatch):
    source = source_of()
    one = len(films(source).films[0].picture.uri)
    monkeypatch.setattr(pictures, "FILM_BYTES", int(1.5 * one))
    shown = films(source)
    assert (len(shown.films), shown.left_out) == (1, 2)


def test_one_clip_is_shown_however_large(source_of, monkeypatch):
    monkeypatch.setattr(pictures, "FILM_BYTES", 1)
    assert len(films(source_of()).films) == 1


def test_frames_that_no_picture_can_hold_are_counted(source_of, monkeypatch):
    monkeypatch.setattr(pictures, "LARGEST_SIDE", 64)
    shown = films(source_of())
    assert (shown.frames, shown.frames_left_out) == (4, 2)


def test_strips_are_exact(source_of):
    source = source_of(levels=("top", "middle", "bottom"))
    names = {
        "Original": "original",
        "Top level alone": "top",
        "Top and middle": "middle",
        "All levels": "full",
    }
    shown = strips(source.pictures, source.levels)
    assert [strip.title for strip in shown] == list(names)
    for strip in shown:
        frames = source.pictures[f"frames.{names[strip.title]}"]
        assert (pixels(strip.picture)[:, 16:32] == frames[1]).all()
