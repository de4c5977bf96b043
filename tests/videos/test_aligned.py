"""Actions: what is read, and that everything else is refused with its place."""

import io
import pickle
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cvg.videos.aligned import MAX_COLUMNS, MAX_LINE, actions_shape, read_actions
from cvg.videos.location import UnusableError
from cvg.videos.skips import SkipCode

MATRICES = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


def npy(values):
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def refusal(path, content):
    """Both ways of reading must refuse it, or only the one that reads every number."""
    path.write_bytes(content)
    with pytest.raises(UnusableError) as caught:
        read_actions(path)
    assert caught.value.code == SkipCode.BAD_ACTIONS
    assert path.parent.name not in caught.value.reason
    return caught.value.reason


@settings(deadline=None)
@given(MATRICES)
def test_arrays_come_back_as_they_were(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("actions") / "a.npy"
    for stored in (values, values.astype(np.float64), np.asfortranarray(values)):
        path.write_bytes(npy(stored))
        read = read_actions(path)
        np.testing.assert_array_equal(read, values)
        assert read.dtype == np.float32
        assert actions_shape(path) == values.shape


@settings(deadline=None)
@given(MATRICES, st.booleans(), st.sampled_from(["\n", "\r\n"]), st.booleans(), st.integers(0, 3))
def test_text_comes_back_as_it_was_with_or_without_header(
    tmp_path_factory, values, header, end, mark, blank_lines
):
    lines = [",".join(f"{number:.9g}" for number in row) for row in values.tolist()]
    if header:
        lines.insert(0, ",".join(f"joint {column}" for column in range(values.shape[1])))
    text = end.join([*lines, *[""] * blank_lines])
    path = tmp_path_factory.mktemp("actions") / "a.CSV"
    path.write_text(("\ufeff" if mark else "") + text, encoding="utf-8", newline="")
    np.testing.assert_array_equal(read_actions(path), values)
    assert actions_shape(path) == values.shape


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float16])
def test_one_number_a_frame_of_any_type_is_one_column(tmp_path, kind):
    path = tmp_path / "a.npy"
    path.write_bytes(npy(np.array([0, 1, 1], dtype=kind)))
    np.testing.assert_array_equal(read_actions(path), [[0], [1], [1]])


def test_reading_leaves_no_hand_on_the_file(tmp_path):
    """The rows must stay what they were when the file is written anew."""
    path = tmp_path / "a.npy"
    path.write_bytes(npy(np.zeros((3, 2), dtype=np.float32)))
    read = read_actions(path)
    with path.open("r+b") as file:
        file.seek(-8, io.SEEK_END)
        file.write(b"\x01" * 8)
    assert not read.any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_the_first_bad_number_of_an_array_is_named(tmp_path, value):
    values = np.zeros((5, 3))
    values[3, 1] = values[4, 0] = value
    assert "row 3, column 1 (counted from 0)" in refusal(tmp_path / "a.npy", npy(values))


@pytest.mark.parametrize("cell", ["nan", "inf", "1e300", "x", "", "1;2", "caf\xe9"])
def test_the_first_bad_number_of_a_text_is_named(tmp_path, cell):
    text = f"one,two\n1,2\n3,{cell}\n{cell},4\n".encode("latin-1")
    assert "line 3, column 2" in refusal(tmp_path / "a.csv", text)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((2, 3, 4)), r"shape \[2, 3, 4\]"),
        (np.array(3.0), r"shape \[\]"),
        (np.zeros((0, 3)), "no numbers"),
        (np.zeros((3, 0)), "no numbers"),
        (np.zeros(0), "no numbers"),
        (np.zeros((2, MAX_COLUMNS + 1), dtype=bool), f"found {MAX_COLUMNS + 1} columns"),
        (np.array(["a", "b"]), "found values of type <U1"),
        (np.array([1j]), "found values of type complex128"),
        (np.array([(1, 2.0)], dtype=[("a", int), ("b", float)]), "found values of type"),
        (np.array([None, 1]), "no array of numbers"),
    ],
)
def test_arrays_of_anything_else_are_refused_unread(tmp_path, values, message):
    assert re.search(message, refusal(tmp_path / "a.npy", npy(values)))
    with pytest.raises(UnusableError):
        actions_shape(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no numbers"),
        ("\n\n", "no numbers"),
        ("left,right\n", "no numbers"),
        ("1,2\n3\n", "line 2 has 1 columns; expected 2"),
        ("left,right\n3\n", "line 2 has 1 columns; expected 2"),
        ("1\n\n2\n", "line 2 is empty"),
        ("1,x\n2,3\n", "line 1, column 2 holds 'x'"),
        ('1\n"2\n', "no rows can be read"),
        ("1," * MAX_COLUMNS + "1\n", f"found {MAX_COLUMNS + 1} columns"),
        ("1" * (MAX_LINE + 1), "a line has more than"),
        ("1\n\0\n", "line 2, column 1"),
    ],
    ids=range(11),
)
def test_text_of_anything_else_is_refused(tmp_path, text, message):
    assert message in refusal(tmp_path / "a.csv", text.encode())


def test_a_header_that_nests_too_deeply_is_no_shortage_of_memory(tmp_path):
    head = b"-" * 9998 + b"1"
    path = tmp_path / "a.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head)
    with pytest.raises(UnusableError) as caught:
        read_actions(path)
    assert caught.value.code == SkipCode.BAD_ACTIONS
    assert caught.value.__cause__ is caught.value.__context__ is None


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a file of actions was unpickled",))


def test_nothing_is_unpickled(tmp_path):
    refusal(tmp_path / "a.npy", pickle.dumps(Bomb()))
    objects = np.array([Bomb()], dtype=object)
    refusal(tmp_path / "b.npy", npy(objects))
    archive = io.BytesIO()
    np.savez(archive, objects)
    refusal(tmp_path / "c.npy", archive.getvalue())


def test_a_header_that_promises_too_much_costs_no_memory(tmp_path):
    head = npy(np.zeros((7, 3), dtype=np.float32)).replace(b"(7, 3)", b"(9999999999999, 3)")
    refusal(tmp_path / "a.npy", head)


@settings(deadline=None)
@given(
    st.sampled_from(["a.npy", "a.csv"]),
    st.lists(st.tuples(st.integers(0, 160), st.integers(0, 255)), max_size=5),
    st.integers(0, 200),
)
def test_damage_is_refused_or_read_but_never_breaks(tmp_path_factory, name, changes, length):
    whole = npy(np.arange(8.0).reshape(4, 2)) if name == "a.npy" else b"a,b\n1,2\n3,4\n" * 2
    content = bytearray(whole[:length])
    for place, value in changes:
        content[place : place + 1] = bytes([value])
    path = tmp_path_factory.mktemp("actions") / name
    path.write_bytes(content)
    try:
        actions = read_actions(path)
    except UnusableError as error:
        assert error.code == SkipCode.BAD_ACTIONS  # noqa: PT017 - whole files are read
    else:
        assert np.isfinite(actions).all()
        assert actions_shape(path) == actions.shape


def test_a_missing_file_is_refused(tmp_path):
    for name in ("a.npy", "a.csv"):
        with pytest.raises(UnusableError, match="BAD_ACTIONS"):
            read_actions(tmp_path / name)
