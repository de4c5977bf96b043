"""Shards: every item comes back from its place, damage is found, memory stays small."""

import os
import pickle
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cvg.errors import UserError
from cvg.frames import shards
from cvg.frames.shards import ShardReader, ShardWriter, Track
from cvg.remote import kept
from cvg.remote.stored import LocalFiles, checksum_of

SHAPE = (3, 2)
ITEM_BYTES = 6
LINUX = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks into /proc")


def items(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *SHAPE), dtype=np.uint8)


def write(folder, parts, *, shard_bytes):
    folder.mkdir(parents=True, exist_ok=True)
    writer = ShardWriter(folder, "things", SHAPE, np.uint8, shard_bytes)
    firsts = [writer.append(part) for part in parts]
    return writer.close(), firsts


def child(script, *words):
    """Run a script in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, words)], capture_output=True, text=True
    )


def open_track(folder, track):
    return ShardReader(LocalFiles(folder, again=shards.AGAIN), track)


def check_sizes(folder, track):
    LocalFiles(folder, again=shards.AGAIN).check_sizes(shard.stored for shard in track.shards)


@given(
    lengths=st.lists(st.integers(0, 12), max_size=5),
    shard_bytes=st.integers(1, 80),
    data=st.data(),
)
@settings(deadline=None, max_examples=40)
def test_every_item_comes_back_under_its_number_at_any_shard_size(
    tmp_path_factory, lengths, shard_bytes, data
):
    folder = tmp_path_factory.mktemp("shards")
    parts = [items(length, seed) for seed, length in enumerate(lengths)]
    track, firsts = write(folder, parts, shard_bytes=shard_bytes)
    written = np.concatenate([items(0), *parts])
    assert firsts == [sum(lengths[:number]) for number in range(len(lengths))]
    assert track.num_items == len(written)
    reader = open_track(folder, track)
    assert np.array_equal(reader.read(0, len(written)), written)
    first = data.draw(st.integers(0, len(written)))
    length = data.draw(st.integers(0, len(written) - first))
    assert np.array_equal(reader.read(first, length), written[first : first + length])


@given(count=st.integers(1, 40), shard_bytes=st.integers(1, 80))
@settings(deadline=None, max_examples=40)
def test_shard_i_holds_its_share_as_the_file_that_numpy_would_have_saved(
    tmp_path_factory, count, shard_bytes
):
    folder = tmp_path_factory.mktemp("shards")
    written = items(count)
    track, _ = write(folder, [written], shard_bytes=shard_bytes)
    size = max(1, shard_bytes // ITEM_BYTES)
    assert track.items_per_shard == size
    for number, path in enumerate(sorted(folder.iterdir())):
        assert path.name == f"things-{number:05d}.npy" == track.shards[number].file
        np.save(folder / "expected", written[number * size : (number + 1) * size])
        assert path.read_bytes() == (folder / "expected.npy").read_bytes()
        (folder / "expected.npy").unlink()


def test_what_is_known_of_a_track_survives_json(tmp_path):
    track, _ = write(tmp_path, [items(9)], shard_bytes=24)
    value = asdict(track) | {"item_shape": list(SHAPE), "shards": [*map(asdict, track.shards)]}
    assert Track.from_json(value) == track


def test_items_that_do_not_lie_in_one_piece_are_stored_as_they_read(tmp_path):
    turned = items(8)[::-2]
    track, _ = write(tmp_path, [turned], shard_bytes=15)
    assert np.array_equal(open_track(tmp_path, track).read(0, 4), turned)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A full shard and one whose header was written twice."""
    folder = tmp_path_factory.mktemp("shards")
    track, _ = write(folder, [items(5)], shard_bytes=3 * ITEM_BYTES)
    return folder, track


@given(data=st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_bit_is_found_wherever_it_is(shared, data):
    folder, track = shared
    number = data.draw(st.integers(0, 1))
    path = folder / track.shards[number].file
    good = path.read_bytes()
    bit = data.draw(st.integers(0, 8 * len(good) - 1))
    bad = bytearray(good)
    bad[bit // 8] ^= 1 << bit % 8
    path.write_bytes(bad)
    try:
        reader = open_track(folder, track)
        check_sizes(folder, track)
        with pytest.raises(UserError, match=f"{path.name}: xxh3_128 is .*, expected .*; run the"):
            reader.read(3 * number, 1)
        assert len(reader.read(3 - 3 * number, 1)) == 1  # the other shard is whole
    finally:
        path.write_bytes(good)


@pytest.mark.parametrize("change", [-1, 1, -10_000])
def test_a_wrong_length_is_found_without_reading_and_when_reading(tmp_path, change):
    track, _ = write(tmp_path, [items(5)], shard_bytes=3 * ITEM_BYTES)
    path = tmp_path / track.shards[1].file
    size = max(0, path.stat().st_size + change)
    os.truncate(path, size)
    reader = open_track(tmp_path, track)
    expected = f"{path.name}: has {size} bytes, expected {track.shards[1].bytes} bytes; run the"
    with pytest.raises(UserError, match=expected):
        check_sizes(tmp_path, track)
    with pytest.raises(UserError, match=expected):
        reader.read(3, 1)


def test_a_shard_is_verified_once_in_a_process(tmp_path, monkeypatch):
    verified = []

    def checksum(path, algorithm):
        verified.append(path.name)
        return checksum_of(path, algorithm)

    monkeypatch.setattr("cvg.remote.stored.checksum_of", checksum)
    monkeypatch.setattr(kept, "MOST_OPEN", 1)
    track, _ = write(tmp_path, [items(6)], shard_bytes=3 * ITEM_BYTES)
    reader = open_track(tmp_path, track)
    for first in (0, 1, 4, 0, 5):
        reader.read(first, 1)
    names = [shard.file for shard in track.shards]
    assert verified == names
    pickle.loads(pickle.dumps(reader)).read(0, 6)
    assert verified == names + names


@pytest.mark.parametrize(("first", "length"), [(-1, 2), (0, 6), (5, 1), (3, 3), (0, -1)])
def test_items_that_are_not_there_are_refused_with_numbers(shared, first, length):
    folder, track = shared
    with pytest.raises(ValueError, match=r"not within the 5 stored"):
        open_track(folder, track).read(first, length)


@pytest.mark.parametrize(
    "wrong", [np.zeros((1, 3, 3), np.uint8), np.zeros((1, 3, 2), np.int64), np.zeros(3, np.uint8)]
)
def test_items_of_another_kind_are_refused(tmp_path, wrong):
    writer = ShardWriter(tmp_path, "things", SHAPE, np.uint8, 100)
    with pytest.raises(ValueError, match=r"the store holds uint8 \(3, 2\)"):
        writer.append(wrong)
    assert not list(tmp_path.iterdir())


def test_items_that_hold_nothing_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"things: items of shape \(2, 0\) hold nothing"):
        ShardWriter(tmp_path, "things", (2, 0), np.uint8, 100)


@LINUX
def test_a_store_of_many_shards_keeps_few_files_open(tmp_path):
    count = kept.MOST_OPEN + 40
    written = items(count)
    track, _ = write(tmp_path, [written], shard_bytes=1)
    reader = open_track(tmp_path, track)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for order in (range(count), reversed(range(count))):
        for number in order:
            assert np.array_equal(reader.read(number, 1)[0], written[number])
    assert len(list(Path("/proc/self/fd").iterdir())) - before <= kept.MOST_OPEN


LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
from cvg.errors import UserError
from cvg.frames.shards import ShardWriter

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
writer = ShardWriter(Path(sys.argv[1]), "things", (1000,), np.uint8, 300_000)
try:
    for number in range(300):
        writer.append(np.zeros((1, 1000), np.uint8))
except UserError as error:
    writer.abandon()
    print(number, error)
"""


def test_a_file_that_may_not_grow_further_is_named_with_numbers(tmp_path):
    done = child(LIMITED, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"99 {tmp_path}/things-00000.npy: cannot be written further")
    assert "expected room for a file of up to 300000 bytes" in done.stdout
    assert "bytes are free" in done.stdout
    assert "extract.shard_mb" in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_is_an_error_for_people(tmp_path):
    (tmp_path / "things-00000.npy").symlink_to("/dev/full")
    writer = ShardWriter(tmp_path, "things", SHAPE, np.uint8, 100)
    with pytest.raises(UserError, match=r"things-00000\.npy: .*No space.*; free some space"):
        writer.append(items(1))
    writer.abandon()


def test_other_errors_of_the_disk_are_left_as_they_are(tmp_path):
    (tmp_path / "things-00000.npy").mkdir()
    writer = ShardWriter(tmp_path, "things", SHAPE, np.uint8, 100)
    with pytest.raises(IsADirectoryError):
        writer.append(items(1))


# The peak of the kernel's own count: what getrusage gives includes the parent's before the start.
STREAMED = """
import re, sys
from pathlib import Path
import numpy as np
from cvg.frames.shards import ShardWriter

def peak_mb():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1000

folder, shard_bytes = Path(sys.argv[1]), int(sys.argv[2])
writer = ShardWriter(folder, "things", (1_000_000,), np.uint8, shard_bytes)
megabyte = np.zeros((1, 1_000_000), np.uint8)
base = peak_mb()
for number in range(300):
    writer.append(megabyte)
assert writer.close().num_items == 300
print(peak_mb() - base)
"""


@LINUX
@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize("shard_bytes", [5_000_000, 250_000_000])
def test_memory_does_not_grow_with_what_is_written_or_with_the_shards(tmp_path, shard_bytes):
    done = child(STREAMED, tmp_path, shard_bytes)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 20
