"""`cvg data import` as a command."""

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
