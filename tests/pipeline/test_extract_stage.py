"""The extract stage as a command."""

import runpy
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cvg.frames.store import FrameStore
from pipeline.extract import extract

Films = runpy.run_path(str(Path(__file__).parents[1] / "films.py"))["Films"]

app = typer.Typer()
app.command()(extract)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    Films.write(tmp_path / "videos" / "a.mp4", frames=90)
    (tmp_path / "videos" / "text.mp4").write_text("hello")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(root, *words):
    # The numbered pictures change like shots do, and most files here are none.
    text = (root / "params.yaml").read_text(encoding="utf-8")
    text = text.replace("shots: adaptive ", "shots: none ").replace(
        "max_skipped: 0.5 ", "max_skipped: 1.0 "
    )
    Path("params.yaml").write_text(text, encoding="utf-8")
    return CliRunner().invoke(app, ["--params", "params.yaml", *words])


def test_a_folder_becomes_a_store_and_the_sum_is_printed(root, folder):
    result = run(root, "--manifest", "videos", "--out", "frames")
    assert result.exit_code == 0, result.output
    assert "skipped text.mp4: NOT_MEDIA" in result.stderr
    assert "found 2 = used 1 + skipped 1" in result.stdout
    assert "extract: wrote frames" in result.stdout
    store = FrameStore.open(folder / "frames")
    assert store.size == (64, 64)
    assert store.num_frames("train") == 62
    assert store.num_frames("held_out") == 18


def test_without_manifest_the_parameters_name_it(root, folder):
    result = run(root, "--out", "frames", "--set", "extract.manifest=videos")
    assert result.exit_code == 0, result.output
    assert FrameStore.open(folder / "frames").num_frames("train") == 62


def test_long_lists_of_skips_are_cut_and_counted(root, folder):
    for number in range(30):
        (folder / "videos" / f"no{number:02d}.mp4").write_text("hello" + str(number))
    result = run(root, "--manifest", "videos", "--out", "frames")
    assert result.stderr.count("NOT_MEDIA") == 20
    assert "... and 11 more, see skipped.csv" in result.stderr
    assert "found 32 = used 1 + skipped 31" in result.stdout


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_shares_in_any_order_give_the_store_of_one_run(root, folder, monkeypatch):
    monkeypatch.setenv("CVG_STATE_DIR", str(folder / "state"))
    for number in range(4):
        Films.write(folder / "videos" / f"{number}.mp4", frames=90, first=10 * number)
    words = ["--manifest", "videos", "--workers", "1"]
    assert run(root, *words, "--out", "whole").exit_code == 0
    for share in ("3/3", "1/3", "3/3"):
        result = run(root, *words, "--out", "frames", "--shard", share)
        assert result.exit_code == 0, result.output
        assert "of 6 parts are still missing in" in result.stdout
        assert not (folder / "frames").exists()
    result = run(root, *words, "--out", "frames", "--shard", "2/3")
    assert "found 6 = used 4 + skipped 2" in result.stdout
    assert "skipped text.mp4: NOT_MEDIA" in result.stderr
    assert "skipped a.mp4: DUPLICATE" in result.stderr  # of a video in another part
    assert contents(folder / "frames") == contents(folder / "whole")


def test_a_video_that_changed_between_shares_is_decoded_again(root, folder, monkeypatch):
    monkeypatch.setenv("CVG_STATE_DIR", str(folder / "state"))
    words = ["--manifest", "videos", "--workers", "1", "--out", "frames"]
    assert run(root, *words, "--shard", "1/2").exit_code == 0
    Films.write(folder / "videos" / "a.mp4", frames=80, first=7)
    assert run(root, *words, "--shard", "2/2").exit_code == 0
    assert not (folder / "frames").exists()
    assert run(root, *words, "--shard", "1/2").exit_code == 0
    assert run(root, "--manifest", "videos", "--out", "whole").exit_code == 0
    assert contents(folder / "frames") == contents(folder / "whole")


def test_what_changes_rounding_keeps_no_shares_of_films_apart(root, folder, monkeypatch):
    monkeypatch.setenv("CVG_STATE_DIR", str(folder / "state"))
    words = ["--manifest", "videos", "--workers", "1", "--out", "frames"]
    for share, processor in (("1/2", "one"), ("2/2", "another")):
        monkeypatch.setattr("cvg.training.runtime._processor", lambda _, name=processor: name)
        result = run(root, *words, "--shard", share)
        assert result.exit_code == 0, result.output
    assert FrameStore.open(folder / "frames").num_frames("train") == 62
