"""`cvg explain`: why a stage would run again, and what is left of it."""

import json

import pytest
from typer.testing import CliRunner

from cvg.errors import UserError
from cvg.params import read_tree
from cvg.training.workspace import Workspace
from pipeline import explain as module
from pipeline.__main__ import app


@pytest.fixture
def explain(project, monkeypatch, tmp_path):
    """Explain in a copy of the project whose lock file is what DVC would have written."""
    monkeypatch.chdir(project)
    monkeypatch.setenv("CVG_STATE_DIR", str(tmp_path / "state"))
    tree = read_tree(project / "params.yaml")
    locked = {"vqgan": json.loads(json.dumps(tree["vqgan"])), "seed": 0, "lr": tree["lr"]}
    lock = {"cmd": "x", "params": {"params.yaml": locked}}
    (project / "dvc.lock").write_text(json.dumps({"stages": {"train_vqgan": lock}}))
    status = {}
    monkeypatch.setattr(module, "_dvc_status", lambda: status)

    def run(stage="train_vqgan", **found):
        status.update(found)
        result = CliRunner().invoke(app, ["explain", stage])
        if isinstance(result.exception, UserError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


def change(path, before, after):
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def test_nothing_changed(explain):
    assert explain() == "train_vqgan is up to date\n"


def test_a_stage_that_never_ran(explain):
    assert "never ran here" in explain("tokenize")


def test_values_are_named_with_what_they_were(explain, project):
    change(project / "params.yaml", "steps: 1500", "steps: 900")
    said = explain(train_vqgan=[{"changed deps": {"params.yaml": {"vqgan.steps": "modified"}}}])
    assert "params.yaml: vqgan.steps: 1500 -> 900" in said
    assert said.count("params.yaml") == 1


def test_values_that_another_stage_obeys_are_no_reason(explain, project):
    change(project / "params.yaml", "temperature: 0.8", "temperature: 0.9")
    assert explain() == "train_vqgan is up to date\n"


def test_code_data_outputs_and_stages_before_are_reasons(explain):
    said = explain(
        train_vqgan=[
            {"changed deps": {"cvg/vqgan/model.py": "modified"}},
            {"changed outs": {"data/vqgan": "deleted"}},
        ],
        extract=[{"changed deps": {"data/manifest.csv": "modified"}}],
    )
    assert "cvg/vqgan/model.py: modified" in said
    assert "its output data/vqgan: deleted" in said
    assert "extract, whose output it reads, would run" in said


def test_what_an_interrupted_run_left_is_told_with_what_keeps_it_from_going_on(explain, project):
    tree = read_tree(project / "params.yaml")

    def interrupt(steps):
        key = {"params": {"vqgan.steps": steps, "seed": 0}, "data": "abc"}
        with Workspace.open("train_vqgan", key=key) as workspace:
            folder = workspace.folder / "checkpoints"
            folder.mkdir()
            (folder / f"step-000000300-{'a' * 64}.safetensors").touch()
            raise ZeroDivisionError

    for steps in (tree["vqgan"]["steps"], 77):
        with pytest.raises(ZeroDivisionError):
            interrupt(steps)
    lines = explain().splitlines()[1:]
    assert len(lines) == 2
    assert all("step-000000300" in line for line in lines)
    assert sum("gone on with, if its data" in line for line in lines) == 1
    assert sum("not gone on with: vqgan.steps: 77 -> 1500" in line for line in lines) == 1


def test_a_misspelt_stage_is_told_with_those_there_are(explain):
    with pytest.raises(UserError, match=r"train_vqgn: no such stage; there are extract, .*"):
        explain("train_vqgn")
