"""Arrays of frames: read as they are, through a map; nothing is unpickled."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvg.videos.location import UnusableError
from cvg.videos.look import Look, ReadLimits
from cvg.videos.skips import SkipCode
from cvg.videos.source import read_frames, read_header

LIMITS = ReadLimits(pixels=100_000, frames=100)
LOOK = Look(size=64, fit="squash")


def saved(folder, array):
    np.save(folder / "a.npy", array)
    return folder / "a.npy"


def frames(path, *, look=LOOK, limits=LIMITS, fps=None):
    return list(read_frames(path, look=look, limits=limits, fps=fps))


def refused(path, *, limits=LIMITS):
    given = []
    with pytest.raises(UnusableError) as caught:
        given.extend(read_frames(path, look=LOOK, limits=limits))
    assert str(path.parent) not in caught.value.reason
    return caught.value, given


def film(films, length=5, **size):
    return np.stack([films.picture(number, **size) for number in range(length)])


@pytest.mark.parametrize("order", ["C", "F"])
def test_frames_come_as_they_are_at_the_rate_given(films, tmp_path, order):
    array = film(films)
    path = saved(tmp_path, np.asarray(array, order=order))
    found = frames(path, fps=10.0)
    assert np.array_equal([frame.pixels() for frame in found], array)
    assert [frame.index for frame in found] == list(range(5))
    assert [frame.time_s for frame in found] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert frames(path)[1].time_s == pytest.approx(1 / 25)


def test_rows_and_columns_keep_their_places(films, tmp_path):
    path = saved(tmp_path, film(films, height=64, width=128))
    assert [films.number_of(frame.pixels()) for frame in frames(path)] == list(range(5))
    header = read_header(path, fps=10.0, limits=LIMITS)
    assert (header.width, header.height, header.num_frames) == (128, 64, 5)
    assert (header.fps, header.duration_s) == (10, 0.5)


@pytest.mark.parametrize("shape", [(3, 64, 64), (3, 64, 64, 1)])
def test_grey_is_the_same_in_all_channels(tmp_path, shape):
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    path = saved(tmp_path, array)
    colour = np.array([frame.pixels() for frame in frames(path)])
    assert np.array_equal(colour, np.repeat(array.reshape(3, 64, 64, 1), 3, axis=-1))
    look = Look(size=64, fit="crop", channels=1)
    grey = np.array([frame.pixels() for frame in frames(path, look=look)])
    assert np.array_equal(grey, array.reshape(3, 64, 64, 1))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 8, 8, 3), np.float32),
        np.zeros((3, 8, 8, 3), np.int8),
        np.zeros((3, 8, 8, 4), np.uint8),
        np.zeros((3, 3, 8, 8), np.uint8),
        np.zeros((8, 8), np.uint8),
        np.zeros((0, 8, 8, 3), np.uint8),
        np.zeros((2, 0, 8), np.uint8),
        np.array([{}]),
        np.array(3, np.uint8),
        np.zeros((2, 2, 2), [("é", np.uint8)]),
    ],
)
def test_other_arrays_are_refused_with_what_was_found(tmp_path, array):
    error, given = refused(saved(tmp_path, array))
    assert (error.code, given) == (SkipCode.NOT_MEDIA, [])
    assert "expected uint8" in error.reason


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00\xff\xff{", b"RIFF" * 50]
)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    assert refused(path)[0].code == SkipCode.NOT_MEDIA


def with_header(folder, text, content=b""):
    head = text.encode()
    path = folder / "a.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + content)
    return path


DEEP = "-" * 9998 + "1"


@pytest.mark.parametrize("text", ["{'descr': '|u1', 'shape': (3, 8,", "(" * 500, DEEP])
def test_damaged_headers_are_refused(tmp_path, text):
    error, given = refused(with_header(tmp_path, text))
    assert (error.code, given) == (SkipCode.NOT_MEDIA, [])


def test_a_header_that_nests_too_deeply_is_no_shortage_of_memory(tmp_path):
    error, _ = refused(with_header(tmp_path, DEEP))
    assert "MemoryError" in error.reason
    assert error.__cause__ is error.__context__ is None


@pytest.mark.parametrize("shape", ["(-1, 8, 8)", "(3, -8, -8)", "(3, 8, -8, 3)", "()"])
def test_sides_below_one_are_refused(tmp_path, shape):
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n"
    error, given = refused(with_header(tmp_path, text, bytes(999)))
    assert (error.code, given) == (SkipCode.NOT_MEDIA, [])
    assert "expected uint8" in error.reason


@given(
    st.lists(st.tuples(st.integers(0, 130), st.integers(0, 255)), max_size=5), st.integers(0, 300)
)
def test_damage_is_refused_or_read_but_never_breaks(tmp_path_factory, changes, length):
    path = saved(tmp_path_factory.mktemp("damage"), np.zeros((2, 4, 8), np.uint8))
    content = bytearray(path.read_bytes()[:length])
    for place, value in changes:
        content[place : place + 1] = bytes([value])
    path.write_bytes(content)
    try:
        assert frames(path)
    except UnusableError as error:
        assert error.reason  # noqa: PT017 - whole files are read


@given(lost=st.integers(1, 5 * 48 * 3))
def test_a_cut_array_gives_its_whole_frames_first(tmp_path_factory, lost):
    array = np.random.default_rng(0).integers(0, 256, (5, 8, 6, 3), dtype=np.uint8)
    path = saved(tmp_path_factory.mktemp("cut"), array)
    path.write_bytes(path.read_bytes()[:-lost])
    error, given = refused(path)
    assert error.code == SkipCode.TRUNCATED
    assert len(given) == (5 * 144 - lost) // 144
    assert f"{len(given)} whole frames" in error.reason


def test_a_cut_array_in_columns_first_has_no_whole_frame(films, tmp_path):
    path = saved(tmp_path, np.asfortranarray(film(films)))
    path.write_bytes(path.read_bytes()[:-1])
    error, given = refused(path)
    assert (error.code, given) == (SkipCode.TRUNCATED, [])


def test_limits_hold(tmp_path):
    path = saved(tmp_path, np.zeros((5, 8, 6), np.uint8))
    assert len(frames(path, limits=ReadLimits(pixels=48, frames=5))) == 5
    assert refused(path, limits=ReadLimits(pixels=47, frames=5))[0].code == SkipCode.TOO_LARGE
    assert refused(path, limits=ReadLimits(pixels=48, frames=4))[0].code == SkipCode.TOO_LONG
