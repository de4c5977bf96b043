"""`cvg accept`, and what the next report makes of it."""

import json
import runpy
import subprocess
from pathlib import Path

from typer.testing import CliRunner

from cvg.report.about import describe
from cvg.report.accepted import since_accepted
from cvg.report.source import read_source
from pipeline.__main__ import app

write_run = runpy.run_path(str(Path(__file__).parents[1] / "report/made.py"))["write_run"]


def test_a_run_that_was_accepted_is_compared_with_the_next(root, tmp_path, monkeypatch):
    paths = write_run(tmp_path, accepted={})
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).write_text((root / name).read_text())
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["accept"])
    assert result.exit_code == 0, result.output
    assert "git add" in result.stdout
    accepted = json.loads(paths.accepted.read_text())
    assert accepted["figures"] == json.loads(paths.metrics.read_text())
    assert accepted["protocol"]["clips"] == 3
    source = read_source(paths)
    assert {change.verdict for change in since_accepted(source).changes} == {"same"}
    assert since_accepted(source).cautions == ()


def git(folder, *words):
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_report_knows_its_commit_and_whether_files_changed(tmp_path):
    about = describe(tmp_path, command="dvc repro", device="cpu")
    assert about.commit_sentence == "outside of a Git repository"
    git(tmp_path, "init", "--quiet")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "--quiet", "--message=one")
    commit = git(tmp_path, "rev-parse", "HEAD")
    about = describe(tmp_path, command="dvc repro", device="cpu")
    assert about.commit_sentence == commit[:12]
    (tmp_path / "file").write_text("two")
    changed = describe(tmp_path, command="dvc repro", device="cpu")
    assert changed.commit_sentence == f"{commit[:12]}, and changes since"
    assert any("torch" in text for _, text in changed.lines)
