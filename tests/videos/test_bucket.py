"""Folders and manifests behind URLs: the same videos in the same order as on this machine."""

from dataclasses import replace
from pathlib import Path

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvg.errors import UserError
from cvg.remote.files import RemoteFile
from cvg.remote.url import Url
from cvg.videos.manifest import read_manifest

NAMES = st.sampled_from(["a", "b.mp4", "B.mp4", "b c.avi", "é.mkv", ".hid", ".h.mp4", "d", "n.txt"])


HERE = Path("here")


def without_places(manifest):
    """Give what a manifest says, but for where the videos lie and what a skip names of that."""
    entries = [replace(entry, path=HERE) for entry in manifest.entries]
    return entries, [(skip.file, skip.code) for skip in manifest.skips], manifest.ignored


@given(paths=st.lists(st.lists(NAMES, min_size=1, max_size=3), min_size=1, max_size=12))
@settings(deadline=None, max_examples=40)
def test_a_folder_is_what_it_is_on_this_machine(tmp_path_factory, paths):
    folder = tmp_path_factory.mktemp("bucket")
    memory = fsspec.filesystem("memory")
    for number, parts in enumerate(paths):
        # A folder that is named as a video is no folder of an object store.
        path = folder.joinpath(*(f"{part}x" for part in parts[:-1]), parts[-1])
        if path.is_dir():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * (number % 3))
        memory.pipe_file(f"/top/{path.relative_to(folder)}", path.read_bytes())
    try:
        for files in ("videos", "all"):
            try:
                expected = without_places(read_manifest(folder, folder_files=files))
            except UserError:
                with pytest.raises(UserError, match="this folder holds no video"):
                    read_manifest(Url("memory://top"), folder_files=files)
            else:
                found = read_manifest(Url("memory://top"), folder_files=files)
                assert without_places(found) == expected
    finally:
        memory.rm("/top", recursive=True)


@pytest.fixture
def bucket(web):
    """A served folder with two videos, one of them in a folder."""
    (web.folder / "my cats").mkdir()
    (web.folder / "a.mp4").write_bytes(b"one")
    (web.folder / "my cats/b c.mp4").write_bytes(b"four")
    return web


def test_a_folder_of_a_web_server_has_sizes_states_and_labels(bucket):
    first, second = read_manifest(Url(bucket.url)).entries
    assert (first.name, second.name, second.label) == ("a.mp4", "my cats/b c.mp4", "my cats")
    assert (first.path.size, second.path.size) == (3, 4)
    assert second.path.state.startswith("ETag=")
    assert second.path.suffix == ".mp4"


def test_a_folder_that_is_not_there_is_named(bucket):
    with pytest.raises(UserError, match=rf"{bucket.url}/no: no such file, folder or bucket"):
        read_manifest(Url(f"{bucket.url}/no"))
    with pytest.raises(UserError, match="memory://nothing: no such file, folder or bucket"):
        read_manifest(Url("memory://nothing"))


def test_a_server_that_does_not_answer_is_named():
    with pytest.raises(UserError, match=r"http://127\.0\.0\.1:9/v: cannot be read \(.*Connect"):
        read_manifest(Url("http://127.0.0.1:9/v"))


def test_rows_lead_behind_urls_and_to_this_machine(bucket, tmp_path):
    (tmp_path / "here.mp4").write_bytes(b"x")
    table = tmp_path / "m.csv"
    table.write_text(
        f"path,caption,map\nhere.mp4,one,\n{bucket.url}/a.mp4,two,{bucket.url}/my%20cats/b%20c.mp4\n"
    )
    first, second = read_manifest(table).entries
    assert first.path == tmp_path / "here.mp4"
    assert (second.path.size, second.map.size) == (3, 4)
    assert second.name == f"{bucket.url}/a.mp4"


@pytest.mark.parametrize("kind", ["web", "file", "memory"])
def test_a_manifest_behind_a_url_names_what_lies_beside_it(bucket, kind):
    table = "path,caption,label\na.mp4,one,x\n../in/my cats/b c.mp4,two,y\nno.mp4,three,z\n"
    memory = fsspec.filesystem("memory")
    inner = bucket.folder / "in"
    for name in ("a.mp4", "my cats/b c.mp4"):
        (inner / name).parent.mkdir(parents=True, exist_ok=True)
        (inner / name).write_bytes((bucket.folder / name).read_bytes())
        memory.pipe_file(f"/top/in/{name}", (inner / name).read_bytes())
    (inner / "m.csv").write_text(table)
    memory.pipe_file("/top/in/m.csv", table.encode())
    url = {"web": bucket.url, "file": f"file://{bucket.folder}", "memory": "memory://top"}[kind]
    manifest = read_manifest(Url(f"{url}/in/m.csv"))
    memory.rm("/top", recursive=True)
    assert [entry.path.size for entry in manifest.entries] == [3, 4]
    assert [entry.caption for entry in manifest.entries] == ["one", "two"]
    assert [(skip.file, skip.code) for skip in manifest.skips] == [("no.mp4", "MISSING_FILE")]


def test_rows_that_lead_nowhere_are_skipped_with_the_reason(bucket, tmp_path):
    (bucket.folder / "empty.mp4").write_bytes(b"")
    cells = {
        f"{bucket.url}/no.mp4": ("MISSING_FILE", "no such file"),
        f"{bucket.url}/empty.mp4": ("EMPTY_FILE", "found 0 bytes"),
        f"file://{bucket.folder}/my cats": ("NOT_REGULAR_FILE", "found a folder behind a URL"),
        "nowhere://a.mp4": ("UNREADABLE", "nowhere"),
        "ftp://me:geheim@host/a.mp4": ("BAD_ROW", "found a password"),
        "http://127.0.0.1:9/a.mp4": ("MISSING_FILE", "Cannot connect"),
    }
    (tmp_path / "m.csv").write_text("path\n" + "\n".join([*cells, f"{bucket.url}/a.mp4"]) + "\n")
    manifest = read_manifest(tmp_path / "m.csv")
    assert len(manifest.entries) == 1
    for skip, (code, reason) in zip(manifest.skips, cells.values(), strict=True):
        assert skip.code == code
        assert reason in skip.reason
        assert "geheim" not in skip.reason


def test_what_is_wrong_with_a_manifest_behind_a_url_is_told_of_the_url(bucket):
    (bucket.folder / "m.csv").write_text("video\na.mp4\n")
    with pytest.raises(UserError, match=rf"^{bucket.url}/m\.csv:1: the header needs a column"):
        read_manifest(Url(f"{bucket.url}/m.csv"))
    with pytest.raises(UserError, match=rf"{bucket.url}/no\.csv: no such file"):
        read_manifest(Url(f"{bucket.url}/no.csv"))
    (bucket.folder / "m.csv").write_text("path\n/a.mp4\npackage:cvg/errors.py\n")
    manifest = read_manifest(Url(f"{bucket.url}/m.csv"))
    assert [skip.code for skip in manifest.skips] == ["BAD_ROW"]
    assert not isinstance(manifest.entries[0].path, RemoteFile)
