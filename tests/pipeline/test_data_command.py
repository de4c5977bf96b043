"""`cvg data check` as a command."""

import runpy
from pathlib import Path

from typer.testing import CliRunner

from pipeline.data import app

Films = runpy.run_path(str(Path(__file__).parents[1] / "films.py"))["Films"]


def check(root, manifest):
    words = ["check", str(manifest), "--params", str(root / "params.yaml")]
    return CliRunner().invoke(app, words)


def test_the_demo_manifest_is_usable(root):
    result = check(root, root / "data" / "manifest.csv")
    assert result.exit_code == 0, result.output
    assert "640x272   25.00    10.00     250" in result.stdout
    assert "found 3 = usable 3 + skipped 0" in result.stdout
    assert "3 with a caption" in result.stdout


def test_skips_are_said_with_their_row_and_the_sum_holds(root, tmp_path):
    Films.write(tmp_path / "a.mp4", frames=90)
    (tmp_path / "m.csv").write_text("path\na.mp4\nabsent.mp4\n")
    result = check(root, tmp_path / "m.csv")
    assert result.exit_code == 0
    assert "would skip row 3, absent.mp4: MISSING_FILE" in result.stderr
    assert "found 2 = usable 1 + skipped 1" in result.stdout


def test_nothing_usable_is_a_failure(root, tmp_path):
    (tmp_path / "m.csv").write_text("path\nabsent.mp4\n")
    result = check(root, tmp_path / "m.csv")
    assert result.exit_code == 1
    assert "found 1 = usable 0 + skipped 1" in result.stdout


def test_a_set_of_which_nothing_would_be_held_out_is_a_failure(root, tmp_path):
    """As extract finds it: a fifth of 60 frames is below the 16 that the sample needs."""
    Films.write(tmp_path / "a.mp4", frames=60)
    result = check(root, tmp_path)
    assert result.exit_code == 1
    assert "held out: something of 0 of 1 videos" in result.stdout
    assert "Add longer videos" in result.stderr
    Films.write(tmp_path / "b.mp4", frames=90, first=100)
    result = check(root, tmp_path)
    assert result.exit_code == 0
    assert "held out: something of 1 of 2 videos" in result.stdout
