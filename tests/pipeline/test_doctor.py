"""`cvg doctor`: each check is seen to complain."""

import os
import shutil
import subprocess
import types

import pytest
import typer

from cvg.tracking import store
from pipeline import doctor


@pytest.fixture
def home(root, tmp_path, monkeypatch):
    """A checkout on a branch, with parameters and DVC's folder."""
    subprocess.run(["git", "init", "--quiet", "-b", "main", tmp_path], check=True)
    (tmp_path / ".dvc").mkdir()
    shutil.copy(root / "params.yaml", tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def states(findings):
    return [finding.state for finding in findings]


def complaint(findings, state):
    (found,) = [finding for finding in findings if finding.state == state]
    assert found.remedy
    return found.message


@pytest.mark.parametrize(
    "check", [doctor.check_git, doctor.check_dvc, doctor.check_params, doctor.check_tracking]
)
def test_healthy_project_has_nothing_to_mend(home, check):
    assert states(check(home)) == ["ok"]


def test_doctor_makes_nothing(home):
    before = sorted(home.iterdir())
    list(doctor.check_tracking(home))
    assert sorted(home.iterdir()) == before


def test_head_on_no_branch_is_told(home):
    commit = ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--allow-empty", "-qm", "x"]
    subprocess.run(["git", "-C", home, *commit], check=True)
    subprocess.run(["git", "-C", home, "checkout", "--quiet", "--detach"], check=True)
    assert "on no branch" in complaint(doctor.check_git(home), "warn")


def test_folder_without_git_or_dvc_fails(home):
    shutil.rmtree(home / ".git")
    shutil.rmtree(home / ".dvc")
    assert "no Git checkout" in complaint(doctor.check_git(home), "fail")
    assert ".dvc is missing" in complaint(doctor.check_dvc(home), "fail")


def test_markers_of_a_merge_fail(home):
    (home / "dvc.lock").write_text("<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> other\n")
    assert "markers of a merge" in complaint(doctor.check_dvc(home), "fail")


def test_left_folder_of_a_temporary_experiment_is_told(home):
    (home / ".dvc/tmp/exps/standalone/tmpabc").mkdir(parents=True)
    assert "1 folders" in complaint(doctor.check_dvc(home), "warn")


def test_bad_parameters_fail_with_their_line(home):
    text = (home / "params.yaml").read_text()
    (home / "params.yaml").write_text(text.replace("seed: 0", "sead: 0"))
    assert "did you mean seed" in complaint(doctor.check_params(home), "fail")


def test_absent_weights_are_told_with_the_way_to_get_them(home, monkeypatch):
    monkeypatch.setenv("CVG_WEIGHTS", str(home / "none"))
    findings = list(doctor.check_weights(home))
    assert set(states(findings)) == {"warn"}
    assert all(finding.remedy.startswith("cvg weights fetch ") for finding in findings)


def test_full_disk_fails(home, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=1e8))
    assert "0.1 GB free" in complaint(doctor.check_disk(home), "fail")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=1e9))
    assert "1.0 GB free" in complaint(doctor.check_disk(home), "warn")


def test_store_that_cannot_be_used_fails(home, monkeypatch):
    def refuse(_uri, _root):
        raise RuntimeError("database is locked\nmore")

    (home / "mlflow.db").touch()
    monkeypatch.setattr(store, "inspect_store", refuse)
    assert complaint(doctor.check_tracking(home), "fail").endswith("mlflow.db: database is locked")


def test_moved_project_dead_run_and_left_journal_are_told(home, monkeypatch):
    state = store.StoreState(
        num_runs=2, artifact_location="file:///old/mlartifacts", abandoned=["extract 12ab"]
    )
    (home / "mlflow.db").touch()
    (home / ".runs/tracking").mkdir(parents=True)
    (home / ".runs/tracking/extract-7-8.jsonl").touch()
    monkeypatch.setattr(store, "inspect_store", lambda _uri, _root: state)
    first, moved, dead, left = doctor.check_tracking(home)
    assert first.state == "ok"
    assert "the project was moved" in moved.message
    assert "extract 12ab counts as running" in dead.message
    assert "extract-7-8.jsonl has not reached MLflow" in left.message


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.filterwarnings("ignore")  # of MLflow's own packages
def test_only_runs_whose_process_is_gone_count_as_abandoned(home):
    uri = store.store_uri(home)
    client, experiment = store.open_store(uri, home)
    for name, process in (("here", store.process_name(os.getpid())), ("gone", "999999999-1")):
        client.create_run(experiment, run_name=name, tags={"process": process})
    state = store.inspect_store(uri, home)
    assert state.num_runs == 2
    assert [run.split()[0] for run in state.abandoned] == ["gone"]
    assert state.artifact_location == (home / "mlartifacts").as_uri()


@pytest.mark.parametrize(("state", "status"), [("warn", 0), ("fail", 1)])
def test_status_says_whether_a_check_failed(home, monkeypatch, capsys, state, status):
    def check_x(_root):
        yield doctor.Finding(subject="x", state=state, message="it is so", remedy="do this")

    def check_y(_root):
        yield from ()
        raise OSError("cannot look")

    monkeypatch.setattr(doctor, "CHECKS", (check_x,))
    with pytest.raises(typer.Exit) as ended:
        doctor.doctor()
    assert ended.value.exit_code == status
    assert "do this" in capsys.readouterr().out
    monkeypatch.setattr(doctor, "CHECKS", (check_y, check_x))
    with pytest.raises(typer.Exit) as ended:
        doctor.doctor()
    assert ended.value.exit_code == 1
    assert "it is so" in capsys.readouterr().out  # a check that breaks hides no other
