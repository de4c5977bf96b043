"""`cvg data import` as a command."""

import shutil
import subprocess

import pytest
import typer
from typer.testing import CliRunner

from pipeline.data_import import import_data

app = typer.Typer()
app.command()(import_data)


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_account_is_printed_with_reasons_counts_and_the_next_command(tmp_path):
    data, out = tmp_path / "data", tmp_path / "m.csv"
    for name in ("abcdefghijk_000001_000011", "odd", "odder", "oddest", "oddity"):
        path = data / "train" / "air drumming" / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    result = run("kinetics", data, "--out", out)
    assert result.exit_code == 0, result.output
    assert "kinetics: 1 train; 1 classes, 1 captions" in result.stdout
    assert "found 5 = used 1 + left out 4" in result.stdout
    assert f"next: cvg data check {out}" in result.stdout
    assert (
        "left out 4, not named <youtube id>_<start>_<end>: train/air drumming/odd.mp4, "
        "train/air drumming/odder.mp4, train/air drumming/oddest.mp4, ...\n"
    ) in result.stderr


def test_nothing_to_use_is_a_failure(tmp_path):
    (tmp_path / "empty.mp4").touch()
    result = run("folder", tmp_path, "--out", tmp_path / "m.csv")
    assert result.exit_code == 1
    assert "no manifest was written" in result.stderr


def test_options_reach_the_importer_and_force_replaces(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"x")
    words = ("folder", tmp_path, "--out", tmp_path / "m.csv")
    assert run(*words).exit_code == 0
    assert "is there already" in str(run(*words).exception)
    assert run(*words, "--force").exit_code == 0
    assert "--fps: folder does not take" in str(run(*words, "--force", "--fps", "5").exception)
    assert run("unknown", tmp_path, "--out", tmp_path / "m.csv").exit_code == 2
    assert run(*words, "--fold", "4").exit_code == 2
    for fps in ("nan", "inf"):
        assert run("sky", tmp_path, "--out", tmp_path / "m.csv", "--fps", fps).exit_code == 2


def test_files_that_are_not_tried_are_counted_one_by_one(tmp_path):
    for name in ("a.mp4", "a.txt", "b.txt", "c.txt", "d.srt"):
        (tmp_path / name).write_bytes(b"x")
    result = run("folder", tmp_path, "--out", tmp_path / "m.csv")
    assert "found 5 = used 1 + left out 4" in result.stdout
    assert "left out 4, not tried" in result.stderr
    assert ".srt, .txt (3)\n" in result.stderr


def test_links_are_followed_on_demand(tmp_path):
    far, folder = tmp_path / "far.mp4", tmp_path / "folder"
    far.write_bytes(b"x")
    folder.mkdir()
    (folder / "link.mp4").symlink_to(far)
    words = ("folder", folder, "--out", tmp_path / "m.csv")
    assert run(*words).exit_code == 1
    assert "used 1 + left out 0" in run(*words, "--follow-links").stdout


def test_warnings_of_an_importer_are_printed(tmp_path):
    for name in ("train/abcdefghijk_000001_000011.mp4", "annotations/train.txt"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
    result = run("kinetics", tmp_path / "data", "--out", tmp_path / "m.csv")
    assert "warning: 1 clips have no class, and annotations/ holds train.txt" in result.stderr


@pytest.mark.parametrize("folder", ["bair", "shapes", "my"])
def test_git_ignores_what_is_imported_and_nothing_that_it_keeps(root, folder, tmp_path):
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    for name in (".gitignore", "data/.gitignore", "data/transformer/.gitignore"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, tmp_path / name)
    clip, kept = f"data/{folder}/clips/a.npy", ["data/manifest.csv", "data/transformer/.gitignore"]
    command = ["git", "-C", tmp_path, "check-ignore", "--no-index", clip, *kept]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [clip]
