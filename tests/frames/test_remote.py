"""Extraction straight from a bucket, and stores behind URLs: the bytes of this machine."""

import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pytest

from cvg.errors import UserError
from cvg.files import read_json
from cvg.frames.extract import extract
from cvg.frames.parts import Extraction
from cvg.frames.store import FrameStore
from cvg.params import load_params
from cvg.remote.stream import FRAMES_BLOCK
from cvg.remote.url import Url
from cvg.segments import Windows
from cvg.videos.check import check_manifest


@pytest.fixture(scope="module")
def params(root):
    return load_params(root / "params.yaml").extract.model_copy(
        update={"frame_size": 32, "min_frames": 6, "shots": "none", "max_skipped": 1.0}
    )


@pytest.fixture
def bucket(web, films):
    """Videos of many kinds in folders, one of them twice, one none, one cut short."""
    kinds = ("0.mp4", "b/1.mkv", "b/2.avi", "my c/3.webm", "my c/4.gif", "5.ts")
    codecs = {"my c/3.webm": "libvpx-vp9", "my c/4.gif": "gif"}
    for number, name in enumerate(kinds):
        codec = codecs.get(name, "libx264")
        films.write(web.folder / name, first=10 * number, frames=40, codec=codec)
    (web.folder / "b/copy.mkv").write_bytes((web.folder / "b/1.mkv").read_bytes())
    (web.folder / "text.mp4").write_text("hello")
    data = (web.folder / "0.mp4").read_bytes()
    (web.folder / "cut.mp4").write_bytes(data[: len(data) * 2 // 3])
    (web.folder / "empty.mp4").touch()
    return web


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def run(place, out, params, *, workers=1, parts=None):
    report = extract(place, out=out, params=params, seed=0, workers=workers, parts=parts)
    return report, contents(out)


@pytest.mark.parametrize("kind", ["web", "file", "zip"])
def test_a_bucket_gives_the_bytes_of_a_folder(bucket, params, tmp_path, kind):
    report, expected = run(bucket.folder, tmp_path / "here", params)
    assert {skip.code for skip in report.skips} == {
        *("DUPLICATE", "NOT_MEDIA", "TRUNCATED", "EMPTY_FILE")
    }
    with zipfile.ZipFile(tmp_path / "videos.zip", "w") as archive:
        for path in bucket.folder.rglob("*.*"):
            archive.write(path, path.relative_to(bucket.folder))
    url = {
        "web": bucket.url,
        "file": f"file://{bucket.folder}",
        "zip": f"zip://::file://{tmp_path}/videos.zip",
    }[kind]
    _, found = run(Url(url), tmp_path / "there", params, workers=2)
    assert found == expected


def test_each_video_passes_once_to_be_decoded_and_to_be_hashed(bucket, params, tmp_path):
    run(Url(bucket.url), tmp_path / "out", params)
    for path in bucket.folder.rglob("*.*"):
        name = str(path.relative_to(bucket.folder))
        assert bucket.bytes_of(name) == path.stat().st_size


def test_a_manifest_with_all_that_it_can_name(bucket, films, params, tmp_path):
    """Ranges, actions, maps and arrays, behind URLs and here."""
    films.write(bucket.folder / "map.mp4", first=7, frames=40)
    np.save(bucket.folder / "act.npy", np.arange(80.0).reshape(40, 2))
    (bucket.folder / "act.csv").write_text("\n".join(f"{n},{n + 1}" for n in range(40)))
    frames = np.random.default_rng(0).integers(0, 256, (40, 20, 20, 3), dtype=np.uint8)
    np.save(bucket.folder / "frames.npy", frames)
    rows = [
        *("path,caption,start,end,actions,map", "0.mp4,one,0,0.7,act.npy,map.mp4"),
        *("b/1.mkv,two,,,act.csv,", "frames.npy,three,,,,map.mp4", "5.ts,four,,,no.npy,"),
    ]
    (bucket.folder / "m.csv").write_text("\n".join(rows) + "\n")
    report, expected = run(bucket.folder / "m.csv", tmp_path / "here", params)
    assert report.used == 3
    _, found = run(Url(f"{bucket.url}/m.csv"), tmp_path / "there", params)
    for changing in ("report.json", "skipped.csv"):  # where the missing file was looked for
        assert b"BAD_ACTIONS" in found.pop(changing)
        expected.pop(changing)
    assert found == expected


def test_a_server_without_parts_of_files_gives_them_whole(web, films, params, tmp_path):
    """Two blocks at least; the second is where such a server shows itself."""
    path = films.write(web.folder / "big.avi", frames=120, height=160, width=160, codec="rawvideo")
    assert path.stat().st_size > FRAMES_BLOCK
    _, expected = run(web.folder, tmp_path / "here", params)
    web.ranges = False
    _, found = run(Url(web.url), tmp_path / "there", params)
    assert found == expected


def test_a_check_reads_headers_alone(web, films, params):
    path = films.write(web.folder / "big.avi", frames=120, height=160, width=160, codec="rawvideo")
    expected = check_manifest(web.folder, params, workers=1)
    found = check_manifest(Url(web.url), params, workers=1)
    assert [video.header for video in found.usable] == [video.header for video in expected.usable]
    assert 0 < web.bytes_of("big.avi") < path.stat().st_size / 2


def parts_of(extraction, folder):
    """Make all parts; give their folders."""
    folders = [folder / f"{number}" for number in range(len(extraction.sizes))]
    for number, part in enumerate(folders):
        part.mkdir(parents=True)
        extraction.make(number, part, advance=lambda _: None)
    return folders


def test_parts_give_the_bytes_too_and_a_changed_bucket_is_another_run(
    bucket, params, tmp_path, monkeypatch
):
    monkeypatch.setattr("cvg.frames.parts.PARTS", 2)
    _, expected = run(bucket.folder, tmp_path / "here", params)
    url = Url(bucket.url)
    extraction = Extraction(url, params, workers=1)
    parts = parts_of(extraction, tmp_path / "parts")
    _, found = run(url, tmp_path / "there", params, parts=parts)
    assert found == expected
    assert Extraction(url, params, workers=1).inputs == extraction.inputs
    data = bytearray((bucket.folder / "0.mp4").read_bytes())
    data[-1] ^= 1
    (bucket.folder / "0.mp4").write_bytes(data)
    assert Extraction(url, params, workers=1).inputs != extraction.inputs


@pytest.mark.parametrize("change", ["remove", "rewrite"])
def test_a_video_that_changes_after_it_was_listed_is_skipped(bucket, params, tmp_path, change):
    extraction = Extraction(Url(bucket.url), params, workers=1)
    path = bucket.folder / "0.mp4"
    if change == "remove":
        path.unlink()
    else:
        path.write_bytes((bucket.folder / "5.ts").read_bytes())
    number = [entry.name for entry in extraction._entries].index("0.mp4")
    part = tmp_path / "part"
    part.mkdir()
    extraction.make(number, part, advance=lambda _: None)
    skip = read_json(part / "films.json")[0]["unusable"]
    assert skip["code"] == "CHANGED"
    assert ("is gone" if change == "remove" else "another content") in skip["reason"]


def test_a_server_that_fails_stops_the_stage(bucket, params, tmp_path):
    """What a network does says nothing of a video: it must not be left out for that."""
    bucket.faults["b/1.mkv"] = 500
    with pytest.raises(UserError, match=rf"{bucket.url}/b/1\.mkv: cannot be read .*500"):
        run(Url(bucket.url), tmp_path / "out", params)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def frames(toys, tmp_path, monkeypatch):
    """A store of several shards, on this machine and in memory."""
    monkeypatch.setenv("CVG_CACHE", str(tmp_path / "cache"))
    store = toys.write_frames(tmp_path / "frames")
    memory = fsspec.filesystem("memory")
    memory.put(str(store.folder), "/frames", recursive=True)
    yield store
    memory.rm("/frames", recursive=True)


def test_a_store_behind_a_url_is_the_store(frames):
    remote = FrameStore.open(Url("memory://frames"))
    assert remote.digest == frames.digest
    for split in ("train", "held_out"):
        assert remote.segments(split) == frames.segments(split)
        for window in Windows(frames.segments(split), length=5):
            where = (window.segment, window.start, window.length)
            assert np.array_equal(remote.window(*where), frames.window(*where))


def test_shards_are_fetched_when_they_are_first_read(frames, tmp_path):
    remote = FrameStore.open(Url("memory://frames"))
    assert not list((tmp_path / "cache").rglob("*.npy"))
    remote.window(remote.segments("train")[0], 0, 1)
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 1


def test_damage_behind_the_url_is_named(frames):
    memory = fsspec.filesystem("memory")
    for name in ("frames-00000.npy", "index.parquet"):
        path = f"/frames/{name}"
        data = bytearray(memory.cat_file(path))
        data[-1] ^= 1
        memory.pipe_file(path, bytes(data))
    with pytest.raises(UserError, match=r"memory://frames/index\.parquet: sha256 is"):
        FrameStore.open(Url("memory://frames"))
    memory.put(str(frames.folder / "index.parquet"), "/frames/index.parquet")
    remote = FrameStore.open(Url("memory://frames"))
    with pytest.raises(UserError, match=r"memory://frames/frames-00000\.npy: xxh3_128 is"):
        remote.window(remote.segments("train")[0], 0, 1)


def test_a_store_that_is_not_there_is_named():
    with pytest.raises(UserError, match=r"memory://nothing/store\.json: no such file"):
        FrameStore.open(Url("memory://nothing"))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks into /proc")
def test_the_room_of_a_removed_shard_is_given_back(frames, monkeypatch):
    """A map of a removed file still takes its place on the disk."""
    one = frames.folder / "frames-00000.npy"
    monkeypatch.setenv("CVG_CACHE_GB", str(2.5 * one.stat().st_size / 1e9))
    remote = FrameStore.open(Url("memory://frames"))
    for window in Windows([*remote.segments("train"), *remote.segments("held_out")], length=5):
        remote.window(window.segment, window.start, window.length)
    maps = Path("/proc/self/maps").read_text()
    assert ".npy (deleted)" not in maps
