"""`cvg data check` as a command."""

import json
import re
import runpy
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from pipeline.data import app

Films = runpy.run_path(str(Path(__file__).parents[1] / "films.py"))["Films"]


def check(root, manifest, *words, **changes):
    """Check with the committed parameters; `changes` replaces some of `extract`."""
    params = Path(manifest).parent / "params.yaml" if changes else root / "params.yaml"
    if changes:
        text = (root / "params.yaml").read_text(encoding="utf-8")
        for key, value in changes.items():
            text, count = re.subn(rf"(?m)^  {key}: \S+", f"  {key}: {value}", text, count=1)
            assert count == 1
        params.write_text(text, encoding="utf-8")
    return CliRunner().invoke(app, ["check", str(manifest), "--params", str(params), *words])


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
    assert "add longer videos" in result.stderr
    Films.write(tmp_path / "b.mp4", frames=90, first=100)
    result = check(root, tmp_path)
    assert result.exit_code == 0
    assert "held out: something of 1 of 2 videos" in result.stdout


def test_without_a_manifest_the_one_of_the_parameters_is_checked(root, tmp_path, monkeypatch):
    monkeypatch.chdir(root)
    named = CliRunner().invoke(app, ["check", "data/manifest.csv"])
    unnamed = CliRunner().invoke(app, ["check"])
    assert unnamed.exit_code == 0
    assert unnamed.stdout == named.stdout != ""


def test_what_is_common_to_the_videos_is_summed_up(root, tmp_path):
    Films.write(tmp_path / "v" / "cat" / "a.mp4", frames=90)
    Films.write(tmp_path / "v" / "cat" / "b.mp4", frames=100, first=100)
    Films.write(tmp_path / "v" / "dog" / "c.mp4", frames=120, first=20, height=32, fps=30)
    (tmp_path / "v" / "notes.txt").touch()
    (tmp_path / "v" / ".hidden").touch()
    result = check(root, tmp_path / "v")
    assert result.exit_code == 0, result.output
    for line in (
        "declared in all: 11.6 s, 310 frames",
        "sizes:      2 of 64x64, 1 of 64x32",
        "frames/s:   25 to 30, median 25",
        "seconds:    3.6 to 4, median 4",
        "conditions: 0 with a caption, 3 with a label (2 different), 0 with actions, 0 with a map",
        "not tried:  1 .hidden, 1 .txt",
    ):
        assert line in result.stdout.splitlines(), result.stdout


def test_skips_are_counted_by_reason(root, tmp_path):
    Films.write(tmp_path / "a.mp4", frames=90)
    rows = ["a.mp4", *(f"absent{number}.mp4" for number in range(60)), "a.mp4"]
    (tmp_path / "m.csv").write_text("\n".join(["path", *rows]))
    result = check(root, tmp_path / "m.csv", max_skipped=1.0)
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stderr.splitlines()]
    assert ["60", "would", "be", "skipped:", "MISSING_FILE"] in lines
    assert ["1", "would", "be", "skipped:", "DUPLICATE"] in lines
    assert "... and 11 more" in result.stderr
    assert "found 62 = usable 1 + skipped 61" in result.stdout


def test_more_skips_than_extract_bears_are_a_failure(root, tmp_path):
    Films.write(tmp_path / "a.mp4", frames=90)
    (tmp_path / "m.csv").write_text("path\na.mp4\nabsent.mp4\ngone.mp4\n")
    result = check(root, tmp_path / "m.csv")
    assert result.exit_code == 1
    assert "2 of 3 videos cannot be used, more than extract.max_skipped = 0.5" in result.stderr


def test_a_split_by_video_needs_two_videos(root, tmp_path):
    Films.write(tmp_path / "a.mp4", frames=90)
    (tmp_path / "m.csv").write_text("path\na.mp4\n")
    result = check(root, tmp_path / "m.csv", split="video")
    assert result.exit_code == 1
    assert "add videos, set extract.split to time" in result.stderr
    (tmp_path / "m.csv").write_text("path,split\na.mp4,held_out\n")
    result = check(root, tmp_path / "m.csv")
    assert result.exit_code == 1
    assert "nothing would be for training" in result.stderr


def test_actions_that_do_not_fit_are_a_warning(root, tmp_path):
    Films.write(tmp_path / "a.mp4", frames=90)
    np.save(tmp_path / "acts.npy", np.ones((80, 2)))
    (tmp_path / "m.csv").write_text("path,actions\na.mp4,acts.npy\n")
    result = check(root, tmp_path / "m.csv")
    assert result.exit_code == 0
    assert "warning: row 2, a.mp4: 80 rows of actions, but 90 frames declared" in result.stderr


def test_all_of_it_is_written_for_machines_also_where_nothing_is_usable(root, tmp_path):
    (tmp_path / "m.csv").write_text("path\nabsent.mp4\n")
    result = check(root, tmp_path / "m.csv", "--json", str(tmp_path / "check.json"))
    assert result.exit_code == 1
    tree = json.loads((tmp_path / "check.json").read_text(encoding="utf-8"))
    assert tree["usable"] == []
    assert [(skip["row"], skip["code"]) for skip in tree["skips"]] == [(2, "MISSING_FILE")]


def test_data_are_imported_made_and_tried_by_commands_beside_it():
    result = CliRunner().invoke(app, ["--help"])
    assert "Import, make and check data before any work." in result.output
    assert {"import", "make", "hostile", "check"} <= set(result.output.split())
