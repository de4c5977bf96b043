"""Sources where they lie: streamed if it may be, copied if it must, and no failure overlooked."""

import pytest

from cvg.errors import UserError
from cvg.remote.files import look_up
from cvg.remote.stream import Stream
from cvg.videos.content import at_start, content_hash, hash_of_ends
from cvg.videos.location import UnusableError
from cvg.videos.opening import local, reading

DATA = bytes(range(256)) * 20


@pytest.fixture
def served(web):
    (web.folder / "a.mp4").write_bytes(DATA)
    return look_up(f"{web.url}/a.mp4")


def test_what_a_file_tells_is_the_same_streamed_and_on_disk(web, served):
    for tell in (content_hash, hash_of_ends):
        assert reading(served, tell, block=300) == tell(web.folder / "a.mp4")


def test_whoever_looks_at_the_start_leaves_a_stream_where_it_was(served):
    def look(stream):
        stream.read(700)
        with at_start(stream) as file:
            assert file.read(5) == DATA[:5]
        return stream.read(5)

    assert reading(served, look, block=300) == DATA[700:705]


@pytest.mark.parametrize(("fault", "error"), [(500, UserError), (404, UnusableError)])
@pytest.mark.parametrize("is_content", [True, False])
def test_a_failure_that_the_reader_does_not_see_is_told(web, served, fault, error, is_content):
    def read(stream):
        stream.read(300)
        web.faults["a.mp4"] = fault
        while stream.read(300):
            pass
        if not is_content:
            raise RuntimeError("the end came too early")

    with pytest.raises(error, match=f"{web.url}/a.mp4"):
        reading(served, read, block=300)


def test_a_reader_that_fails_by_itself_is_heard(served):
    with pytest.raises(ZeroDivisionError):
        reading(served, lambda _: 1 / 0)


def test_a_file_that_must_be_copied_is_removed_at_the_end(web, served, tmp_path):
    web.ranges = False
    copy, seen = tmp_path / "copy.mp4", []

    def read(source):
        seen.append(type(source))
        return content_hash(source)

    expected = content_hash(web.folder / "a.mp4")
    assert reading(served, read, block=300, copy=copy) == expected
    assert seen == [Stream, type(tmp_path)]
    assert not copy.exists()
    with local(served, copy=copy) as path:
        assert path == copy
        assert path.read_bytes() == DATA
    assert not copy.exists()
    with local(served) as path:
        assert path.suffix == ".mp4"
    assert not path.exists()
    assert [*tmp_path.iterdir()] == [web.folder]
