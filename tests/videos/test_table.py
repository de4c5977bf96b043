"""Written manifests: what the reader gives back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvg.videos.manifest import read_manifest
from cvg.videos.table import KNOWN_COLUMNS, write_manifest

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8).map(str.strip)
ROWS = st.lists(
    st.fixed_dictionaries(
        {"path": st.just("a.mp4")},
        optional={
            "weather": TEXTS | st.integers(),
            "caption": st.none() | TEXTS,
            "label": TEXTS,
            "start": st.none() | st.floats(0, 5),
            "end": st.floats(6, 9),
            "fps": st.none() | st.integers(1, 60),
        },
    ),
    min_size=1,
    max_size=5,
)


def as_cell(value):
    return "" if value is None else str(value)


@settings(deadline=None)
@given(ROWS)
def test_what_is_written_is_read_back(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("table")
    (folder / "a.mp4").write_bytes(b"x")
    write_manifest(folder / "m.csv", rows)
    entries = read_manifest(folder / "m.csv").entries
    assert len(entries) == len(rows)
    for entry, row in zip(entries, rows, strict=True):
        assert as_cell(entry.caption) == as_cell(row.get("caption"))
        assert as_cell(entry.label) == as_cell(row.get("label"))
        assert entry.metadata.get("weather", "") == as_cell(row.get("weather"))
        assert (entry.start_s, entry.end_s) == (row.get("start"), row.get("end"))
        assert entry.fps == row.get("fps")


def test_a_carriage_return_is_read_back(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"x")
    write_manifest(tmp_path / "m.csv", [{"path": "a.mp4", "caption": "one\rtwo"}])
    (entry,) = read_manifest(tmp_path / "m.csv").entries
    assert entry.caption == "one\rtwo"


def test_columns_stand_in_one_order_and_empty_ones_are_left_out(tmp_path):
    rows = [
        {"weather": "rain", "caption": None, "label": 1, "path": "a.mp4"},
        {"path": "b.mp4", "wind": 3, "fps": 25.0, "map": None},
    ]
    write_manifest(tmp_path / "m.csv", rows)
    assert (tmp_path / "m.csv").read_text() == (
        "path,label,fps,weather,wind\na.mp4,1,,rain,\nb.mp4,,25.0,,3\n"
    )


def test_every_known_column_means_something_to_the_reader(tmp_path):
    for name in ("a.mp4", "a.csv"):
        (tmp_path / name).write_bytes(b"x")
    cells = {"split": "train", "start": 1, "end": 2, "fps": 3, "actions": "a.csv", "map": "a.mp4"}
    row = dict.fromkeys(KNOWN_COLUMNS, "a.mp4") | cells
    write_manifest(tmp_path / "m.csv", [row])
    (entry,) = read_manifest(tmp_path / "m.csv").entries
    assert not entry.metadata


@pytest.mark.parametrize("path", [None, ""])
def test_a_row_without_a_path_is_refused_and_nothing_is_replaced(tmp_path, path):
    (tmp_path / "m.csv").write_text("as it was")
    with pytest.raises(ValueError, match="needs a path"):
        write_manifest(tmp_path / "m.csv", [{"path": "a.mp4"}, {"path": path}])
    assert (tmp_path / "m.csv").read_text() == "as it was"
