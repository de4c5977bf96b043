"""`cvg data hostile` as a command; the corpus itself is tested in tests/hostile."""

import json

import pytest
import typer
from typer.testing import CliRunner

from cvg.hostile import corpus
from cvg.hostile.judge import Seen, Verdict
from pipeline.data_hostile import hostile


@pytest.fixture
def command(root, monkeypatch):
    """The command on one small run; gives the outcome of each case as `outcomes` says."""
    runs = [run for run in corpus.plan_runs() if run.name == "only a header"]
    monkeypatch.setattr(corpus, "plan_runs", lambda: runs)
    monkeypatch.setattr(corpus, "try_params", lambda folder, params: iter(()))
    app = typer.Typer()
    app.command()(hostile)

    def run(folder, *words):
        words = [str(folder), "--params", str(root / "params.yaml"), *map(str, words)]
        return CliRunner().invoke(app, words)

    return run


def test_the_last_line_is_the_sum(command, tmp_path):
    result = command(tmp_path / "hostile", "--json", tmp_path / "table.json")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == (
        "tried 1 = used 0 + skipped 0 + stopped 1; lost 0; hung 0; crashed 0; as declared 1 of 1"
    )
    (row,) = json.loads((tmp_path / "table.json").read_text())
    assert (row["case"], row["declared"], row["ok"]) == ("only a header", "stopped", True)


def test_a_difference_is_a_failure_and_is_explained(command, monkeypatch, tmp_path):
    def try_runs(folder, runs, **_):
        seen = Seen(outcome="crashed", text="ValueError: boom")
        yield Verdict(run=runs[0].name, case=runs[0].cases[0], seen=seen)

    monkeypatch.setattr(corpus, "try_runs", try_runs)
    result = command(tmp_path / "hostile")
    assert result.exit_code == 1
    assert "crashed 1; as declared 0 of 1" in result.stdout
    assert "only a header: crashed: ValueError: boom" in result.stderr


def test_only_the_corpus_is_touched(command, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    assert command(tmp_path).exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", "mine.txt"]
