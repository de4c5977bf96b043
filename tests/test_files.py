"""Files and folders are whole or not there."""

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from cvg.errors import UserError
from cvg.files import (
    hash_code,
    read_json,
    replacing_file,
    replacing_folder,
    save_arrays,
    sha256_file,
    write_json,
    write_rows,
)
from cvg.interrupts import Interrupted, interruptible


def content(folder):
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_file_takes_its_name_only_when_it_is_complete(tmp_path):
    path = tmp_path / "deep" / "film.mp4"
    with replacing_file(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.suffix == ".mp4"
    assert content(tmp_path) == {"deep/film.mp4": "new"}


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "figures.json"
    path.write_text("old")

    def fail():
        with replacing_file(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert content(tmp_path) == {"figures.json": "old"}


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "store"
    path.mkdir()
    (path / "old").write_text("old")
    with replacing_folder(path, marker="old") as temporary:
        assert list(temporary.iterdir()) == []
        (temporary / "new").write_text("new")
        assert content(path) == {"old": "old"}
    assert content(tmp_path) == {"store/new": "new"}


def test_a_failure_leaves_the_old_folder_and_nothing_else(tmp_path):
    path = tmp_path / "store"
    path.mkdir()
    (path / "old").write_text("old")

    def fail():
        with replacing_folder(path, marker="old") as temporary:
            (temporary / "new").write_text("half")
            raise RuntimeError("full disk")

    with pytest.raises(RuntimeError, match="full disk"):
        fail()
    assert content(tmp_path) == {"store/old": "old"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["store"]


def test_what_a_killed_run_left_behind_does_not_get_into_a_folder(tmp_path):
    with replacing_folder(tmp_path / "store", marker="a") as temporary:
        name = temporary.name
        (temporary / "a").write_text("a")
    (tmp_path / name).mkdir()
    (tmp_path / name / "stale").write_text("stale")
    with replacing_folder(tmp_path / "store", marker="a") as temporary:
        (temporary / "b").write_text("b")
    assert content(tmp_path) == {"store/b": "b"}


def die_while_writing(folder):
    """Begin a file and a folder in another process, which is killed."""
    script = (
        "import os, sys\nfrom pathlib import Path\n"
        "from cvg.files import replacing_file, replacing_folder\n"
        "here = Path(sys.argv[1])\n"
        "with replacing_file(here / 'a.csv'), replacing_folder(here / 'b', marker='m') as b:\n"
        "    (b / 'half').touch()\n    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, folder], check=False)
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_process_left_is_removed_by_the_next_writer(tmp_path):
    assert [name.partition("-")[0] for name in die_while_writing(tmp_path)] == [
        ".a.partial",
        ".b.partial",
    ]
    with replacing_file(tmp_path / "a.csv") as path:
        path.write_text("whole")
    with replacing_folder(tmp_path / "b", marker="m") as folder:
        (folder / "m").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b"]


def test_what_a_living_process_writes_stays(tmp_path):
    with replacing_file(tmp_path / "a.csv") as mine, replacing_folder(tmp_path / "b", marker="m"):
        mine.write_text("whole")
        before = sorted(tmp_path.iterdir())
        assert len(before) == 2
        die_while_writing(tmp_path)
        assert set(before) <= set(tmp_path.iterdir())


def test_a_signal_comes_not_between_the_old_folder_and_the_new(tmp_path, monkeypatch):
    out = tmp_path / "out"
    with replacing_folder(out, marker="m") as folder:
        (folder / "m").write_text("old")
    replace = Path.replace

    def interrupted(path, target):
        replace(path, target)
        if path == out:
            os.kill(os.getpid(), signal.SIGTERM)

    def replace_it():
        with interruptible(), replacing_folder(out, marker="m") as folder:
            (folder / "m").write_text("new")
            monkeypatch.setattr(Path, "replace", interrupted)

    with pytest.raises(Interrupted):
        replace_it()
    assert (out / "m").read_text() == "new"
    assert list(tmp_path.iterdir()) == [out]


def test_where_the_new_folder_cannot_take_the_place_the_old_one_stays(tmp_path, monkeypatch):
    out = tmp_path / "out"
    with replacing_folder(out, marker="m") as folder:
        (folder / "m").write_text("old")
    replace = Path.replace

    def failing(path, target):
        if target == out and (path / "m").read_text() == "new":
            raise OSError(13, "denied")
        replace(path, target)

    def replace_it():
        with replacing_folder(out, marker="m") as folder:
            (folder / "m").write_text("new")
            monkeypatch.setattr(Path, "replace", failing)

    with pytest.raises(OSError, match="denied"):
        replace_it()
    assert (out / "m").read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]


def test_json_comes_back(tmp_path):
    value = {"name": "Zürich", "figures": [1, 2.5, None, True], "nested": {"a": {}}}
    write_json(tmp_path / "x.json", value)
    assert read_json(tmp_path / "x.json") == value
    assert "Zürich" in (tmp_path / "x.json").read_text(encoding="utf-8")
    assert (tmp_path / "x.json").read_text(encoding="utf-8").endswith("}\n")


@pytest.mark.parametrize("bad", [math.nan, math.inf, {1, 2}])
def test_what_is_not_json_is_refused_and_the_old_file_stays(tmp_path, bad):
    write_json(tmp_path / "x.json", 1)
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "x.json", {"figure": bad})
    assert content(tmp_path) == {"x.json": "1\n"}


@pytest.mark.parametrize(
    ("data", "message"),
    [(b'{"a": 1,\n "b": }', r"x\.json:2: not JSON"), (b'{"a": "\xff"}', r"x\.json: not JSON")],
)
def test_damaged_json_is_refused_with_its_place(tmp_path, data, message):
    (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(UserError, match=message):
        read_json(tmp_path / "x.json")


def test_a_missing_file_names_itself(tmp_path):
    with pytest.raises(UserError, match=r"x\.json: no such file; run the stage that writes it"):
        read_json(tmp_path / "x.json")


def test_rows_have_the_columns_of_all_and_what_is_not_there_is_empty(tmp_path):
    path = tmp_path / "rows.csv"
    rows = [{"step": 1234567, "loss": 1 / 3}, {"step": 2, "x": 1e-7, "of": 'a "b", c'}]
    write_rows(path, [*rows, {"loss": np.float64("nan")}])
    assert path.read_bytes().decode() == (
        'step,loss,x,of\n1234567,0.333333,,\n2,,1e-07,"a ""b"", c"\n,,,\n'
    )
    write_rows(path, [], names=["clip"])
    assert path.read_text() == "clip\n"


def test_the_hash_is_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_file(tmp_path / "x") == expected


def test_a_folder_of_other_content_is_not_replaced(tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with (
        pytest.raises(UserError, match=r"holds files, but no store\.json"),
        replacing_folder(mine, marker="store.json"),
    ):
        pass
    assert (mine / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("name", [".", "file.txt"])
def test_what_is_no_folder_of_its_own_is_refused(tmp_path, name, monkeypatch):
    (tmp_path / "file.txt").write_text("")
    monkeypatch.chdir(tmp_path)
    with (
        pytest.raises(UserError, match="expected a folder"),
        replacing_folder(Path(name), marker="m"),
    ):
        pass


def test_arrays_come_back_whatever_their_order_in_memory(tmp_path):
    plain = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    arrays = {
        "plain": plain,
        "transposed": plain.transpose(2, 0, 1),
        "reversed": plain[::-1],
        "part": plain[:, 1:, ::2],
        "scalar": np.array(3.5),
    }
    save_arrays(tmp_path / "arrays.safetensors", arrays)
    found = load_file(tmp_path / "arrays.safetensors")
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert np.array_equal(found[name], array), name
        assert found[name].dtype == array.dtype


def test_code_is_known_by_the_names_and_lines_of_all_its_sources(tmp_path):
    hashes = [hash_code(tmp_path)]
    for name in ("a.py", "b.py", "deep/step.cpp"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("one\n")
        hashes.append(hash_code(tmp_path))
        path.write_text("two\n")
        hashes.append(hash_code(tmp_path))
    assert len(set(hashes)) == len(hashes)
    (tmp_path / "notes.txt").touch()
    assert hash_code(tmp_path) == hashes[-1]
