"""Remote files: what tells that one has changed, and how folders are listed."""

import os

import fsspec
import pytest

from cvg.remote.files import children, copy_to, described, look_again, look_up, look_up_all
from cvg.remote.url import Url


@pytest.fixture(params=["web", "file", "memory"])
def bucket(request, web, tmp_path):
    """A writer of files, and the URL of their folder."""
    if request.param == "memory":
        memory = fsspec.filesystem("memory")
        yield lambda name, data: memory.pipe_file(f"/bucket/{name}", data), "memory://bucket"
        memory.rm("/bucket", recursive=True)
        return

    def write(name, data):
        path = web.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    yield write, web.url if request.param == "web" else f"file://{web.folder}"


def test_a_file_of_other_content_and_the_same_size_is_another(bucket):
    write, url = bucket
    write("a.mp4", b"one")
    before = look_up(f"{url}/a.mp4")
    assert before.size == 3
    assert before.state
    assert look_up(f"{url}/a.mp4") == before
    assert before.is_as_before(look_again(before))
    write("a.mp4", b"two")
    assert not before.is_as_before(look_again(before))


def test_a_file_that_is_gone_is_none(web):
    (web.folder / "a.mp4").write_bytes(b"one")
    file = look_up(f"{web.url}/a.mp4")
    (web.folder / "a.mp4").unlink()
    assert look_again(file) is None


def test_looks_that_tell_different_things_are_compared_by_size():
    listed = described("s3://b", "b/a", {"size": 3, "ETag": "x", "mtime": 4})
    assert listed.state == "ETag=x"
    assert listed.is_as_before(described("s3://b", "b/a", {"size": 3, "mtime": 5}))
    assert not listed.is_as_before(described("s3://b", "b/a", {"size": 4, "mtime": 4}))
    assert not listed.is_as_before(described("s3://b", "b/a", {"size": 3, "ETag": "y"}))


def test_a_folder_is_listed_by_names(bucket):
    write, url = bucket
    for name in ("b c.mp4", "a.mp4", "deep/er/d.mp4"):
        write(name, b"x")
    _, own = fsspec.core.url_to_fs(url)
    found = dict(children(Url(url), own))
    assert sorted(found) == ["a.mp4", "b c.mp4", "deep"]
    assert found["deep"]["type"] == "directory"
    assert [name for name, _ in children(Url(url), found["deep"]["name"])] == ["er"]


def test_many_files_are_looked_up_in_any_mixture(web, tmp_path):
    (web.folder / "a.mp4").write_bytes(b"one")
    (tmp_path / "b.mp4").write_bytes(b"four")
    urls = [f"{web.url}/a.mp4", f"file://{tmp_path}/b.mp4", f"{web.url}/no.mp4", "nowhere://x"]
    found = look_up_all([*urls, *urls])
    assert [*found] == urls
    assert [found[url].size for url in urls[:2]] == [3, 4]
    assert isinstance(found[urls[2]], FileNotFoundError)
    assert isinstance(found[urls[3]], Exception)


def test_a_copy_is_the_file(bucket, tmp_path):
    write, url = bucket
    data = os.urandom(1000)
    write("a.mp4", data)
    copy_to(look_up(f"{url}/a.mp4"), tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data


def test_a_file_is_shown_by_a_url_of_its_own(tmp_path):
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b/c.mp4").write_bytes(b"x")
    ((_, info),) = children(Url(f"file://{tmp_path}"), str(tmp_path / "a b"))
    file = described(f"file://{tmp_path}", info["name"], info)
    assert str(file) == f"file://{tmp_path}/a b/c.mp4"
    assert look_up(str(file)).size == 1
