"""Commands that read behind URLs: the bytes that they give of folders on this machine."""

import csv
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pytest
import typer
from typer.testing import CliRunner

from cvg.params import read_tree
from cvg.vqgan.store import save_vqgan
from pipeline.chain import prepare
from pipeline.data import app as data
from pipeline.extract import extract
from pipeline.tokenize import tokenize
from pipeline.train_transformer import LevelChoice, train_transformer
from pipeline.train_vqgan import train_vqgan

TESTS = Path(__file__).parents[1]
TOYS = SimpleNamespace(**runpy.run_path(str(TESTS / "toys.py")))
Films = runpy.run_path(str(TESTS / "films.py"))["Films"]
web = runpy.run_path(str(TESTS / "web.py"))["web"]
SMALL = {"steps": 6, "batch_size": 4, "warmup_steps": 2, "validate_every": 3, "width": 16}

app = typer.Typer()
app.command()(extract)


@pytest.fixture
def memory(tmp_path, root, monkeypatch):
    """Copies a folder into memory, and gives its URL."""
    monkeypatch.setenv("CVG_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("CVG_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(root)
    memory = fsspec.filesystem("memory")

    def put(folder):
        memory.put(str(folder), "/store", recursive=True)
        return "memory://store"

    yield put
    memory.rm("/store", recursive=True)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_vqgan_is_trained_to_the_same_bytes(memory, tmp_path, root):
    values = SMALL | {"width": 8, "stem": 2, "codebook_size": 12, "comparator": "none"}
    folder = TOYS.write_frames(tmp_path / "frames").folder
    for name, frames in (("here", folder), ("there", memory(folder))):
        train_vqgan(
            frames=str(frames),
            out=tmp_path / name / "vqgan",
            plot=tmp_path / name / "plot.csv",
            params_path=root / "params.yaml",
            overrides=[f"vqgan.{key}={value}" for key, value in values.items()],
        )
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_processes_turn_frames_into_the_same_codes(web, tmp_path, root, monkeypatch):
    """To each of them the URL alone travels; together they fetch each shard once."""
    monkeypatch.setenv("CVG_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("CVG_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(root)
    TOYS.write_frames(web.folder / "frames")
    (tmp_path / "vqgan").mkdir()
    save_vqgan(tmp_path / "vqgan", TOYS.toy_vqgan())
    for frames, workers in ((web.folder / "frames", 1), (f"{web.url}/frames", 2)):
        tokenize(
            frames=str(frames),
            vqgan=tmp_path / "vqgan",
            out=tmp_path / f"codes{workers}",
            params_path=root / "params.yaml",
            overrides=["tokenize.batch_size=4"],
            workers=workers,
        )
    assert contents(tmp_path / "codes2") == contents(tmp_path / "codes1")
    shards = [name for name, _, _ in web.asked if name.endswith(".npy")]
    assert len(shards) == len(set(shards)) == 5


def test_a_transformer_is_trained_to_the_same_bytes(memory, tmp_path, root):
    values = SMALL | {"layers": 1, "heads": 2, "clip_frames": 4}
    folder = TOYS.write_codes(tmp_path / "codes").folder
    for name, codes in (("here", folder), ("there", memory(folder))):
        train_transformer(
            level=LevelChoice.top,
            codes=str(codes),
            out=tmp_path / name / "out",
            plot=tmp_path / name / "plot.csv",
            params_path=root / "params.yaml",
            overrides=[f"transformer.top.{key}={value}" for key, value in values.items()],
        )
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


@pytest.fixture
def bucket(web, root, monkeypatch):
    """Three videos and a text behind a URL; the present folder has parameters for them."""
    for number in range(3):
        Films.write(web.folder / f"c {number % 2}/{number}.mp4", frames=90, first=10 * number)
    (web.folder / "text.mp4").write_text("hello")
    monkeypatch.chdir(web.folder.parent)
    monkeypatch.setenv("CVG_STATE_DIR", str(web.folder.parent / "state"))
    text = (root / "params.yaml").read_text(encoding="utf-8")
    Path("params.yaml").write_text(text.replace("shots: adaptive ", "shots: none "))
    return web


def run(command, *words):
    result = CliRunner().invoke(command, [str(word) for word in words])
    assert result.exit_code == 0, f"{result.output}{result.exception}"
    return result


def test_shares_of_a_bucket_give_the_store_of_a_folder(bucket):
    run(app, "--manifest", bucket.folder, "--workers", 1, "--out", "here")
    words = ("--manifest", bucket.url, "--workers", 1, "--out", "there")
    for share in ("2/2", "1/2"):
        run(app, *words, "--shard", share)
    assert contents(Path("there")) == contents(Path("here"))


def test_a_run_that_a_server_stops_goes_on_where_it_was(bucket):
    run(app, "--manifest", bucket.folder, "--workers", 1, "--out", "here")
    words = ("--manifest", bucket.url, "--workers", 1, "--out", "there", "--shard", "1/1")
    bucket.faults["c 1/1.mp4"] = 503
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert "c%201/1.mp4: cannot be read (ClientResponseError: 503" in str(result.exception)
    bucket.faults.clear()
    before = len(bucket.asked)
    run(app, *words)
    assert {name for name, _, _ in bucket.asked[before:]} == {"c 1/1.mp4"}
    assert contents(Path("there")) == contents(Path("here"))


def test_what_is_on_this_machine_needs_no_fsspec():
    """It takes its time to be imported."""
    code = "import sys, cvg.frames.extract, cvg.frames.store; sys.exit('fsspec' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_bucket_can_be_checked_and_listed_as_a_manifest(bucket):
    assert "found 4 = usable 3 + skipped 1" in run(data, "check", bucket.url).stdout
    words = ("import", "folder", bucket.url, "--out", "data/m.csv")
    run(data, *words)
    listed = list(csv.DictReader(Path("data/m.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["label"] for row in listed] == ["", "c 0", "c 0", "c 1"]
    assert [row["caption"] for row in listed] == ["", "c 0", "c 0", "c 1"]
    assert listed[1]["path"] == f"{bucket.url}/c%200/0.mp4"
    run(app, "--manifest", "data/m.csv", "--out", "frames")
    before = Path("data/m.csv").read_bytes()
    run(data, *words, "--force")
    assert Path("data/m.csv").read_bytes() == before
    Films.write(bucket.folder / "c 0/0.mp4", frames=90, first=77)
    run(data, *words, "--force")
    assert Path("data/m.csv").read_bytes() != before


def test_other_kinds_of_data_are_not_read_behind_urls(bucket):
    result = CliRunner().invoke(data, ["import", "sky", bucket.url, "--out", "m.csv"])
    assert "found a URL; expected a folder on this machine" in str(result.exception)


def test_a_whole_run_takes_a_url(root, tmp_path):
    stages = prepare(tmp_path / "out", root / "params.yaml", manifest="s3://bucket/videos")
    assert read_tree(tmp_path / "out/params.yaml")["extract"]["manifest"] == "s3://bucket/videos"
    assert "s3://bucket/videos" in stages[0].words
