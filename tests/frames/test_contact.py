"""Contact sheets show the stored frames themselves, with titles that fit."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from cvg.frames import contact
from cvg.frames.contact import write_contact_sheet
from cvg.frames.store import FrameStore
from cvg.segments import Segment

SIDE = 16
SHOWN = 128  # pixels of a frame on the sheet
PITCH = SHOWN + 2
LEFT = 8
FRAMES = 8
LINE_COLOUR = (190, 197, 205)


class Store(FrameStore):
    """Frames of one colour: red tells the segment, green the frame; maps of 0 and 4."""

    def __init__(self, segments):
        self.size = (SIDE, SIDE)
        self._segments = tuple(segments)

    def window(self, segment, start, length):
        frames = np.zeros((length, SIDE, SIDE, 3), dtype=np.uint8)
        frames[..., 0] = 10 + segment.id
        frames[..., 1] = np.arange(start, start + length, dtype=np.uint8)[:, None, None]
        return frames

    def maps(self, segment, start, length):
        maps = np.zeros((length, SIDE, SIDE), dtype=np.uint8)
        maps[:, SIDE // 2 :] = 4
        return maps


def segment(number, **changes):
    values = {
        "id": number,
        "video": f"{number}.mp4",
        "split": "train",
        "first_frame": 0,
        "num_frames": 80,
        "fps": 10.0,
        "start_s": 0.0,
        "motion": 2.5,
        "first_action": None,
        "first_map": None,
        "caption": None,
        "label": None,
        "metadata": "{}",
    }
    return Segment(**(values | changes))


def sheet(tmp_path, segments):
    write_contact_sheet(Store(segments), "train", tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as picture:
        return np.asarray(picture.convert("RGB"))


def segments_shown(pixels):
    """Number of the segment of each row, from above: the red of its first frame."""
    column = pixels[:, LEFT + SHOWN // 2]
    found = [int(red) - 10 for red, _, blue in column if blue == 0]
    return [number for number in dict.fromkeys(found) if found.count(number) == SHOWN]


def lines(pixels):
    """Rows that are a line from margin to margin."""
    inner = pixels[:, LEFT : -LEFT - 1]
    return [y for y, row in enumerate(inner) if (row == LINE_COLOUR).all()]


def test_frames_are_evenly_spread_and_sharp(tmp_path):
    pixels = sheet(tmp_path, [segment(0)])
    bottom = pixels.shape[0] - 8
    for column in range(FRAMES):
        left = LEFT + column * PITCH
        frame = pixels[bottom - SHOWN : bottom, left : left + SHOWN]
        assert (frame == (10, 5 + 10 * column, 0)).all()


@pytest.mark.parametrize("count", [1, 3, 16, 40])
def test_segments_are_evenly_spread_over_at_most_16_rows(tmp_path, count):
    shown = segments_shown(sheet(tmp_path, [segment(number) for number in range(count)]))
    assert len(shown) == min(count, 16)
    gaps = set(np.diff(shown).tolist())
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_short_segment_shows_each_frame_once(tmp_path):
    pixels = sheet(tmp_path, [segment(0, num_frames=3)])
    row = pixels[-20, LEFT + SHOWN // 2 :: PITCH]
    assert [int(green) for _, green, blue in row if blue == 0] == [0, 1, 2]


def test_line_stands_between_videos_and_not_within_one(tmp_path):
    names = ["a.mp4", "a.mp4", "b.mp4", "c.mp4", "c.mp4"]
    parts = [segment(number, video=name) for number, name in enumerate(names)]
    assert len(lines(sheet(tmp_path, parts))) == 2


def test_map_of_the_first_frame_ends_the_row(tmp_path):
    plain = sheet(tmp_path, [segment(0)])
    pixels = sheet(tmp_path, [segment(0, first_map=0), segment(1)])
    assert pixels.shape[1] > plain.shape[1]
    right = pixels[:, -LEFT - SHOWN : -LEFT]
    top = next(y for y, row in enumerate(right) if (row == 0).all())
    assert (right[top : top + SHOWN // 2] == 0).all()
    assert (right[top + SHOWN // 2 : top + SHOWN] == 255).all()
    assert (right[-SHOWN:-8] == 255).all()


@settings(max_examples=20, deadline=None)
@example(video="word " * 99, caption="w" * 500)
@given(video=st.text(max_size=300), caption=st.none() | st.text(max_size=300))
def test_texts_stay_between_the_margins(tmp_path_factory, video, caption):
    pixels = sheet(tmp_path_factory.mktemp("sheet"), [segment(0, video=video, caption=caption)])
    assert (pixels[:, :4] == 255).all()
    assert (pixels[:, -4:] == 255).all()


def test_caption_is_shown_and_else_the_label(tmp_path):
    without = sheet(tmp_path, [segment(0)])
    caption = sheet(tmp_path, [segment(0, caption="round")])
    label = sheet(tmp_path, [segment(0, label="round")])
    assert caption.shape[0] > without.shape[0]
    assert (caption == label).all()


def test_long_line_ends_in_an_ellipsis():
    clipped = contact._clip("word " * 100, 200)
    assert clipped.endswith("…")
    assert contact._font().getlength(clipped) <= 200
    assert contact._font().getlength(clipped) > 150
    assert contact._clip("word", 200) == "word"


def test_letters_that_the_font_has_are_kept_and_others_are_question_marks():
    assert (
        contact._drawable("Straße, Łódź, Афины, Ωραία – “a”") == "Straße, Łódź, Афины, Ωραία – “a”"
    )
    assert contact._drawable("cafe\u0301") == "café"
    assert contact._drawable("一 b\x07") == "? b?"
    assert contact._drawable("two\nlines") == "two lines"
