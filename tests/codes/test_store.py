"""The code store: what goes in comes out; what is foreign or damaged is refused."""

import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from cvg.codes.layout import Grid
from cvg.codes.store import CodeStore, CodeWriter
from cvg.errors import UserError
from cvg.files import read_json, write_json


@pytest.fixture(scope="module")
def store(toys, tmp_path_factory):
    return toys.write_codes(tmp_path_factory.mktemp("codes") / "codes", shard_frames=10)


@pytest.fixture
def folder(toys, tmp_path):
    toys.write_codes(tmp_path / "codes", shard_frames=10)
    return tmp_path / "codes"


def by_id(store):
    segments = [*store.segments("train"), *store.segments("held_out")]
    return sorted(segments, key=lambda segment: segment.id)


def read_all(folder):
    store = CodeStore.open(folder)
    for segment in by_id(store):
        store.window(segment, 0, segment.num_frames)
    store.codebooks()


@given(data=st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_window_holds_what_was_written(toys, store, data):
    segment = data.draw(st.sampled_from(by_id(store)))
    length = data.draw(st.integers(1, segment.num_frames))
    start = data.draw(st.integers(0, segment.num_frames - length))
    found = store.window(segment, start, length)
    first = segment.first_frame + start
    for level, codes in toys.all_codes(sum(toys.LENGTHS)).items():
        assert found[level].dtype == np.int64
        assert np.array_equal(found[level], codes[first : first + length])


def test_a_shard_is_opened_once_in_a_process(folder, monkeypatch):
    opened = []

    def noted(path, **options):
        opened.append(path.name)
        return safe_open(path, **options)

    monkeypatch.setattr("cvg.codes.store.safe_open", noted)
    store = CodeStore.open(folder)
    first = by_id(store)[0]
    for _ in range(3):
        before = store.window(first, 0, 2)
    assert len(opened) == len(set(opened)) > 0
    again = pickle.loads(pickle.dumps(store)).window(first, 0, 2)
    assert all(np.array_equal(again[name], before[name]) for name in before)


def test_some_segment_crosses_two_borders_of_shards(store):
    assert any(
        s.first_frame // 10 + 1 < (s.first_frame + s.num_frames - 1) // 10 + 1 for s in by_id(store)
    )
    assert len(list(store.folder.glob("codes-*.safetensors"))) == 5


def test_segments_and_codebooks_come_back(toys, store):
    assert by_id(store) == toys.segments(aligned=True)
    assert all(s.split == "held_out" for s in store.segments("held_out"))
    assert store.grids == toys.GRIDS
    assert store.vqgan_hash == "toy"
    for level, vectors in toys.codebooks().items():
        assert np.array_equal(store.codebooks()[level], vectors)


@pytest.mark.parametrize("shard_frames", [1, 7, 1000])
def test_the_size_of_shards_changes_no_code(toys, store, tmp_path, shard_frames):
    other = toys.write_codes(tmp_path / "other", shard_frames=shard_frames)
    for segment in by_id(store):
        one, two = (s.window(segment, 0, segment.num_frames) for s in (store, other))
        assert all(np.array_equal(one[level], two[level]) for level in one)


@pytest.mark.parametrize(("start", "length"), [(-1, 2), (0, 10), (9, 1), (8, 2)])
def test_windows_beyond_a_segment_are_refused(store, start, length):
    with pytest.raises(ValueError, match=r"leaves segment 0 of 9 frames"):
        store.window(by_id(store)[0], start, length)


@pytest.mark.parametrize(
    "name",
    [
        "codes-00000.safetensors",
        "codes-00004.safetensors",
        "codebooks.safetensors",
        "index.parquet",
    ],
)
def test_a_flipped_byte_is_found(folder, name):
    read_all(folder)
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 1
    (folder / name).write_bytes(bytes(data))
    with pytest.raises(UserError, match=rf"{name}: sha256 is .* run tokenize again"):
        read_all(folder)


@pytest.mark.parametrize("name", ["codes-00002.safetensors", "index.parquet", "codes.json"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(UserError, match=rf"{name}: [Nn]o such file"):
        read_all(folder)


def test_another_format_is_refused(folder):
    write_json(folder / "codes.json", read_json(folder / "codes.json") | {"format": 3})
    with pytest.raises(UserError, match=r"codes\.json: format 3, expected 2; run tokenize again"):
        CodeStore.open(folder)


def test_tracks_come_back_beside_the_codes_whatever_the_shards(toys, folder):
    store, expected = CodeStore.open(folder), toys.all_tracks(sum(toys.LENGTHS))
    assert tuple(store.tracks.values()) == toys.TRACKS
    for segment in toys.segments():
        found = store.window(segment, 2, segment.num_frames - 2)
        rows = slice(segment.first_frame + 2, segment.first_frame + segment.num_frames)
        for name, array in expected.items():
            assert np.array_equal(found[name], array[rows])
            assert found[name].dtype == array.dtype


@pytest.mark.parametrize("bad", [-1, 12])
def test_codes_of_another_codebook_are_refused_when_written(toys, tmp_path, bad):
    codes = toys.all_codes(3)
    codes["bottom"][1, 2, 3] = bad
    with pytest.raises(UserError, match=r"bottom codes run from .* expected 0 to 11"):
        CodeWriter(tmp_path, grids=toys.GRIDS).append(codes)


def test_codes_of_another_codebook_are_refused_when_read(folder):
    header = read_json(folder / "codes.json")
    header["grids"][0]["codebook_size"] = 5
    write_json(folder / "codes.json", header)
    with pytest.raises(UserError, match=r"top codes run from 0 to 11, expected 0 to 4"):
        read_all(folder)


@pytest.mark.parametrize(("size", "width"), [(256, 1), (257, 2), (65536, 2)])
def test_codes_take_the_smallest_type_that_holds_them(tmp_path, toys, size, width):
    grid = Grid(level="top", rows=10, columns=10, codebook_size=size)
    codes = np.arange(size).repeat(-(-50_000 // size))[-50_000:].reshape(500, 10, 10)
    writer = CodeWriter(tmp_path, grids=(grid,))
    writer.append({"top": codes})
    segment = toys.segment(0, 0, 500)
    writer.finish([segment], vqgan_hash="toy", codebooks=toys.codebooks())
    assert np.array_equal(CodeStore.open(tmp_path).window(segment, 0, 500)["top"], codes)
    size_bytes = (tmp_path / "codes-00000.safetensors").stat().st_size
    assert 0 <= size_bytes - width * 50_000 < 200


def test_levels_of_different_length_are_a_mistake_of_the_program(toys, tmp_path):
    codes = toys.all_codes(3)
    codes["top"] = codes["top"][:2]
    with pytest.raises(AssertionError, match="disagree"):
        CodeWriter(tmp_path, grids=toys.GRIDS).append(codes)


def test_memory_does_not_grow_with_the_number_of_shards(toys, tmp_path):
    grid = Grid(level="top", rows=16, columns=16, codebook_size=1000)
    codes = np.zeros((64, 16, 16), np.int64)
    peaks = []
    for shards in (2, 20):
        folder = tmp_path / f"{shards}"
        tracemalloc.start()
        folder.mkdir()
        writer = CodeWriter(folder, grids=(grid,), shard_frames=256)
        for _ in range(shards * 4):
            writer.append({"top": codes})
        writer.finish([toys.segment(0, 0, 9)], vqgan_hash="toy", codebooks=toys.codebooks())
        CodeStore.open(folder).count_codes()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    shard_bytes = 256 * 16 * 16 * 2
    assert peaks[1] - peaks[0] < shard_bytes / 2


def test_every_code_is_counted_once(toys, store):
    codes = toys.all_codes(sum(toys.LENGTHS))
    counts = store.count_codes()
    assert list(counts) == [grid.level for grid in toys.GRIDS]
    for grid in toys.GRIDS:
        expected = [np.sum(codes[grid.level] == code) for code in range(grid.codebook_size)]
        assert counts[grid.level].tolist() == expected


def test_the_digest_is_that_of_the_content(toys, tmp_path):
    def digest(name, **changes):
        codes, books = toys.all_codes(42), toys.codebooks()
        values = {
            "vqgan_hash": "toy",
            "segments": toys.segments(aligned=True),
            "codes": codes,
        } | changes
        (tmp_path / name).mkdir()
        writer = CodeWriter(tmp_path / name, grids=toys.GRIDS, shard_frames=10)
        writer.append(values["codes"])
        writer.finish(
            values["segments"],
            vqgan_hash=values["vqgan_hash"],
            codebooks=changes.get("codebooks", books),
        )
        return CodeStore.open(tmp_path / name).digest

    changed = toys.all_codes(42)
    changed["top"][41, 0, 0] = (changed["top"][41, 0, 0] + 1) % 12
    digests = {
        digest("first"),
        digest("hash", vqgan_hash="other"),
        digest("segments", segments=toys.segments(aligned=True)[:3]),
        digest("codebooks", codebooks=toys.codebooks(seed=1)),
        digest("codes", codes=changed),
    }
    assert len(digests) == 5
    assert digest("again") in digests
