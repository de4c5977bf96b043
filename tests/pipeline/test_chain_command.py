"""`cvg run`: the whole chain in a plain folder."""

import os
import signal
import subprocess
import sys
import time

import pytest

from cvg.errors import UserError
from cvg.params import read_tree
from pipeline import chain
from pipeline.chain import prepare

SLOW = [pytest.mark.slow, pytest.mark.ci]


def test_the_parameters_of_a_run_are_written_beside_it(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stages = prepare(
        tmp_path / "out", root / "params.yaml", preset="quick", overrides=["sample.clips=3"]
    )
    tree = read_tree(tmp_path / "out/params.yaml")
    assert tree["sample"]["clips"] == 3
    assert tree["vqgan"]["steps"] == read_tree(root / "presets/quick.yaml")["vqgan"]["steps"]
    assert tree["extract"]["manifest"] == str(root / "data/manifest.csv")
    assert stages[0].name == "extract"
    assert (tmp_path / "out/reports/accepted.json").is_file()
    assert "# frames at once" in (tmp_path / "out/params.yaml").read_text()


def test_nothing_that_a_stage_makes_is_taken_from_a_project_that_has_run(
    root, tmp_path, monkeypatch
):
    monkeypatch.setattr(chain, "PROJECT", tmp_path / "project")
    (tmp_path / "project").mkdir()
    (tmp_path / "project/dvc.yaml").write_bytes((root / "dvc.yaml").read_bytes())
    stages = prepare(tmp_path / "first", root / "params.yaml")
    for dep in {dep for stage in stages for dep in stage.data if not dep.startswith("/")}:
        path = tmp_path / "project" / dep
        path.parent.mkdir(parents=True, exist_ok=True)
        if "." in path.name and not path.exists():  # else a folder
            path.write_text("{}")
    prepare(tmp_path / "second", root / "params.yaml")
    out = tmp_path / "second"
    assert (out / "reports/accepted.json").is_file()
    for stage in stages:
        for path in stage.outs:
            assert not (out / path).exists(), path


def test_videos_of_ones_own_are_relative_to_the_present_folder(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path / "out", root / "params.yaml", manifest="mine.csv")
    tree = read_tree(tmp_path / "out/params.yaml")
    assert tree["extract"]["manifest"] == str(tmp_path / "mine.csv")


def test_a_folder_of_other_things_is_refused(root, tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match=r"holds files, but no done\.json"):
        chain.run(out=tmp_path, params_path=root / "params.yaml")


def fake_stages(monkeypatch, log):
    """Let stages be commands that write their name into their outputs."""

    def execute(stage, out, _environment):
        log.append(stage.name)
        for path in stage.outs:
            file = out / path if "." in path.rpartition("/")[2] else out / path / "file"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(stage.name)
        return 3 if stage.name == "tokenize" and "fail" in log else 0

    monkeypatch.setattr(chain, "_execute", execute)


def test_what_is_done_is_not_redone_and_a_change_redoes_what_it_touches(
    root, tmp_path, monkeypatch
):
    monkeypatch.setenv("CVG_STATE_DIR", str(tmp_path / "state"))
    log = []
    fake_stages(monkeypatch, log)

    def run(*overrides):
        log.clear()
        chain.run(out=tmp_path / "out", params_path=root / "params.yaml", overrides=[*overrides])
        return list(log)

    everything = run()
    assert everything[0] == "extract"
    assert everything[-1] == "report"
    assert run() == []
    assert run("sample.temperature=0.5")[0] in ("check_transformers", "finetune", "sample")
    assert "train_vqgan" not in run("sample.temperature=0.6")
    (tmp_path / "out/data/codes/file").unlink()
    assert run("sample.temperature=0.6")[0] == "tokenize"


def test_a_stage_that_fails_ends_the_run_with_its_status(root, tmp_path, monkeypatch):
    monkeypatch.setenv("CVG_STATE_DIR", str(tmp_path / "state"))
    log = ["fail"]
    fake_stages(monkeypatch, log)
    with pytest.raises(chain.typer.Exit) as caught:
        chain.run(out=tmp_path / "out", params_path=root / "params.yaml")
    assert caught.value.exit_code == 3
    assert log[-1] == "tokenize"


def test_a_stage_that_was_killed_ends_the_run_as_a_shell_says_it(
    root, tmp_path, monkeypatch, capfd
):
    monkeypatch.setenv("CVG_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(chain, "_execute", lambda *_: -signal.SIGKILL)
    with pytest.raises(chain.typer.Exit) as caught:
        chain.run(out=tmp_path / "out", params_path=root / "params.yaml")
    assert caught.value.exit_code == 137
    assert "extract: ended by SIGKILL, often sent by a system that has no" in capfd.readouterr().err


@pytest.mark.slow
def test_the_chain_runs_without_dvc_and_git_and_goes_on_after_a_signal(root, tmp_path):
    command = [sys.executable, "-m", "pipeline", "run", "--preset", "quick", "--out", "out"]
    environment = os.environ | {"CVG_WEIGHTS": "none", "PYTHONPATH": str(root)}

    def start():
        return subprocess.Popen(
            [*command, "--params", root / "params.yaml", "--set", "sample.clips=2"],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    process = start()
    until = time.monotonic() + 200
    while not list(tmp_path.glob("out/.runs/train_vqgan/*/checkpoints/step-*")):
        assert time.monotonic() < until
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 143, said
    assert "train-vqgan: stopped after step" in said

    process = start()
    said = process.communicate(timeout=900)[0]
    assert process.returncode == 0, said
    assert "extract: nothing changed" in said
    assert "train-vqgan: goes on from step" in said
    assert (tmp_path / "out/reports/index.html").is_file()
    assert not (tmp_path / ".git").exists()
    said = start().communicate(timeout=100)[0]
    assert said.count("nothing changed") == 12
