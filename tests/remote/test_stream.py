"""A stream reads as the file does, passes it once, and knows its hash whatever was read of it."""

import hashlib
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvg.errors import UserError
from cvg.remote.files import look_up
from cvg.remote.stream import BLOCKS, Stream, UnseekableError

SIZE = 5000
DATA = random.Random(0).randbytes(SIZE)


@given(
    block=st.integers(1, 900),
    places=st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, 700)), max_size=12),
)
@settings(deadline=None, max_examples=60)
def test_any_reads_give_the_bytes_of_the_file_and_its_hash(tmp_path_factory, block, places):
    path = tmp_path_factory.mktemp("stream") / "a.bin"
    path.write_bytes(DATA)
    with Stream(look_up(f"file://{path}"), block=block) as stream:
        for place, count in places:
            stream.seek(place)
            assert stream.read(count) == DATA[place : place + count]
            assert stream.tell() == min(SIZE, place + count)
        assert stream.sha256() == hashlib.sha256(DATA).hexdigest()
        stream.check()


@pytest.fixture
def served(web):
    (web.folder / "a.bin").write_bytes(DATA)
    return look_up(f"{web.url}/a.bin")


def test_what_is_read_forwards_passes_once(web, served):
    edges = [0, *sorted(random.Random(1).sample(range(SIZE), 30)), SIZE]
    with Stream(served, block=300) as stream:
        for start, stop in pairwise(edges):
            stream.read(stop - start)
        assert stream.sha256() == hashlib.sha256(DATA).hexdigest()
    assert web.bytes_of("a.bin") == SIZE


def test_gaps_and_an_index_at_the_end_cost_no_second_pass(web, served):
    """As FFmpeg reads an MP4 file whose index is at its end, and skips the sound."""
    with Stream(served, block=300) as stream:
        stream.read(50)
        stream.seek(SIZE - 200)
        stream.read(200)
        for start in range(50, SIZE - 200, 170):
            stream.seek(start)
            stream.read(100)
        stream.sha256()
    assert web.bytes_of("a.bin") <= SIZE + 2 * 300


def test_few_blocks_are_kept(web, served):
    with Stream(served, block=100) as stream:
        for _ in range(2):
            stream.seek(0)
            for _ in range(SIZE // 100):
                stream.read(100)
    assert web.bytes_of("a.bin") == 2 * SIZE  # all of it was forgotten meanwhile
    web.asked.clear()
    with Stream(served, block=100) as stream:
        for _ in range(2):
            stream.seek(0)
            stream.read((BLOCKS - 1) * 100)
    assert web.bytes_of("a.bin") == (BLOCKS - 1) * 100


@pytest.mark.parametrize(
    ("fault", "expected"),
    [(404, FileNotFoundError), (403, UserError), (500, UserError)],
)
def test_a_failure_is_an_end_to_the_reader_and_told_when_asked(web, served, fault, expected):
    with Stream(served, block=300) as stream:
        stream.read(50)
        web.faults["a.bin"] = fault
        assert stream.read(500) == stream.read(1) == b""
        with pytest.raises(expected):
            stream.check()


def test_a_server_without_parts_of_files_is_found_out(web, served):
    web.ranges = False
    with Stream(served, block=300) as stream:
        assert stream.read(300) == DATA[:300]
        assert stream.read(300) == b""
        with pytest.raises(UnseekableError):
            stream.check()


def test_a_file_that_is_gone_is_not_opened(web, served):
    (web.folder / "a.bin").unlink()
    with pytest.raises(FileNotFoundError):
        Stream(served, block=300)
