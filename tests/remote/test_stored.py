"""Files of a store behind a URL: each fetched once, found by its hash, and never too many."""

import json
import os
import pickle
import random
import subprocess
import sys
import zipfile
from dataclasses import asdict
from functools import partial

import fsspec
import pytest

from cvg.errors import UserError
from cvg.files import sha256_file
from cvg.remote import cache
from cvg.remote.cache import shard_cache
from cvg.remote.stored import CachedFiles, LocalFiles, Stored, checksum_of
from cvg.remote.url import Url

SIZE = 1000
COUNT = 6


def read_bytes(path):
    return path.read_bytes()


@pytest.fixture
def store(web, tmp_path, monkeypatch):
    """Files of a web server, with the cache of this test."""
    monkeypatch.setenv("CVG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "RESERVE", 0)
    for number in range(COUNT):
        data = random.Random(number).randbytes(SIZE)
        (web.folder / f"{number}.npy").write_bytes(data)
    web.stored = [
        Stored(name=path.name, algorithm="xxh3_128", checksum=checksum_of(path, "xxh3_128"))
        for path in sorted(web.folder.iterdir())
    ]
    return web


def open_store(store):
    return CachedFiles(Url(store.url), again="write it again")


def cached():
    return [path for path in shard_cache().rglob("*") if path.is_file()]


def test_each_file_is_fetched_once_whoever_reads_it(store):
    for files in (open_store(store), pickle.loads(pickle.dumps(open_store(store)))):
        for stored in random.Random(0).choices(store.stored, k=20):
            assert files.use(stored, read_bytes) == (store.folder / stored.name).read_bytes()
    assert len(store.asked) == len({name for name, _, _ in store.asked})
    assert not [path for path in cached() if path.suffix != ".npy"]


def test_a_file_that_is_damaged_in_the_cache_is_said_and_fetched_again(store, capsys):
    stored = store.stored[0]
    good = open_store(store).use(stored, read_bytes)
    (path,) = cached()
    path.write_bytes(b"x" + good[1:])
    assert open_store(store).use(stored, read_bytes) == good
    assert f"WARNING: {path}: damaged in the cache" in capsys.readouterr().err


def test_a_file_that_is_damaged_behind_the_url_is_named_and_not_kept(store):
    stored = store.stored[0]
    path = store.folder / stored.name
    good = path.read_bytes()
    path.write_bytes(b"x" + good[1:])
    expected = rf"{store.url}/0\.npy: xxh3_128 is .*, expected {stored.checksum}.*; write it again"
    with pytest.raises(UserError, match=expected):
        open_store(store).use(stored, read_bytes)
    assert not cached()
    path.write_bytes(good)
    assert open_store(store).use(stored, read_bytes) == good


def test_a_file_that_is_missing_behind_the_url_is_named(store):
    (store.folder / "0.npy").unlink()
    with pytest.raises(UserError, match=rf"{store.url}/0\.npy: no such file"):
        open_store(store).use(store.stored[0], read_bytes)


def test_the_cache_keeps_its_limit_and_what_was_used_last(store, monkeypatch):
    monkeypatch.setenv("CVG_CACHE_GB", str(2.5 * SIZE / 1e9))
    files = open_store(store)
    for time, number in enumerate((0, 1, 0, 2, 0, 3, 0)):
        stored = store.stored[number]
        assert files.use(stored, read_bytes) == (store.folder / stored.name).read_bytes()
        os.utime(files._path(stored), (time, time))  # clocks of file systems are coarse
        assert sum(path.stat().st_size for path in cached()) <= 2.5 * SIZE
    assert [name for name, _, _ in store.asked] == ["0.npy", "1.npy", "2.npy", "3.npy"]
    assert files.keeps(store.stored[0])
    assert not files.keeps(store.stored[2])


def test_what_cannot_fit_is_said(store, monkeypatch, capsys):
    monkeypatch.setenv("CVG_CACHE_GB", str(0.5 * SIZE / 1e9))
    files = open_store(store)
    files.check_sizes([Stored(name="0.npy", algorithm="sha256", checksum="0", bytes=SIZE)])
    assert "what is read at random is fetched again" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"no room for 1000 bytes .*CVG_CACHE_GB"):
        files.use(store.stored[0], read_bytes)


@pytest.mark.parametrize("text", ["much", "-1", "0", "inf"])
def test_a_limit_that_is_none_is_refused(store, monkeypatch, text):
    monkeypatch.setenv("CVG_CACHE_GB", text)
    with pytest.raises(UserError, match=f"CVG_CACHE_GB={text}: expected"):
        open_store(store).use(store.stored[0], read_bytes)


def test_a_full_disk_removes_what_was_not_used_for_longest(store, monkeypatch):
    files = open_store(store)
    for number in (0, 1, 2):
        files.use(store.stored[number], read_bytes)
        os.utime(files._path(store.stored[number]), (number, number))
    usage = cache.shutil.disk_usage

    def usage_of_a_small_disk(path):
        taken = sum(path.stat().st_size for path in cached())
        return usage(path)._replace(free=3 * SIZE - taken)

    monkeypatch.setattr(cache.shutil, "disk_usage", usage_of_a_small_disk)
    files.use(store.stored[3], read_bytes)
    assert [files.keeps(stored) for stored in store.stored[:4]] == [False, True, True, True]


READ_ALL = """
import hashlib, json, random, sys
from cvg.remote.stored import CachedFiles, Stored
from cvg.remote.url import Url

url, seed, stored = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
files = CachedFiles(Url(url), again="write it again")
for one in random.Random(seed).sample(stored, len(stored)):
    for _ in range(3):
        found = files.use(Stored(**one), lambda path: path.read_bytes())
        print(one["name"], hashlib.sha256(found).hexdigest())
"""


def read_in_processes(store, stored, *, count):
    """Read files at random in several processes at once; give all that they found."""
    described = json.dumps([asdict(one) for one in stored])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", READ_ALL, store.url, str(seed), described],
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in range(count)
    ]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * count
    return {line for output in outputs for line in output.splitlines()}


def expected_of(store, stored):
    return {f"{one.name} {sha256_file(store.folder / one.name)}" for one in stored}


def test_processes_that_fetch_at_once_fetch_each_file_once(store):
    found = read_in_processes(store, store.stored, count=3)
    assert found == expected_of(store, store.stored)
    assert len(store.asked) == COUNT


def test_processes_that_take_each_others_room_read_the_right_bytes(store, monkeypatch):
    monkeypatch.setenv("CVG_CACHE_GB", str(2.5 * SIZE / 1e9))
    monkeypatch.setattr(cache, "RESERVE", 0)
    found = read_in_processes(store, store.stored, count=2)
    assert found == expected_of(store, store.stored)


def test_a_file_that_another_process_removes_is_fetched_again_but_not_for_ever(store):
    removals = []

    def read_what_is_removed(path, *, times):
        if len(removals) < times:
            removals.append(path)
            path.unlink()
        return path.read_bytes()

    stored, files = store.stored[0], open_store(store)
    expected = (store.folder / stored.name).read_bytes()
    assert files.use(stored, partial(read_what_is_removed, times=2)) == expected
    with pytest.raises(UserError, match="removed as soon as it is fetched"):
        files.use(stored, partial(read_what_is_removed, times=99))


def test_a_header_that_is_no_json_is_named(store):
    (store.folder / "store.json").write_text("{")
    with pytest.raises(UserError, match=rf"{store.url}/store\.json: not JSON"):
        open_store(store).header("store.json")


def test_any_file_system_will_do(store, tmp_path):
    path = store.folder / "0.npy"
    fsspec.filesystem("memory").pipe_file("/frames/0.npy", path.read_bytes())
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "in/0.npy")
    expected = LocalFiles(store.folder, again="").use(store.stored[0], read_bytes)
    urls = ("memory://frames", f"zip://in::file://{tmp_path}/a.zip", f"file://{store.folder}")
    for url in urls:
        files = CachedFiles(Url(url), again="")
        assert files.use(store.stored[0], read_bytes) == expected
        (found,) = cached()
        found.unlink()
    fsspec.filesystem("memory").rm("/frames", recursive=True)
