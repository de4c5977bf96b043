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
