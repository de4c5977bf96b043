"""A user's week with the project: experiments, a change, a kill, a way back."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def week(chain, tmp_path_factory):
    """A copy of the project after its first `dvc repro`, with a record of its own."""
    folder = tmp_path_factory.mktemp("week") / "project"
    shutil.copytree(
        chain.folder, folder, symlinks=True, ignore=shutil.ignore_patterns("mlflow.db*", ".runs")
    )
    return type(chain)(folder)


def pipelines(week):
    client = MlflowClient(f"sqlite:///{week.folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("cvg")
    return client.search_runs([experiment.experiment_id], "tags.stage = 'pipeline'")


def test_monday_three_experiments_are_queued_and_compared(week):
    said = week.run("cvg sweep -S lr=5e-4,1e-3,2e-3 -S sample.clips=2 --figure sample.psnr")
    rows = [line for line in said.splitlines() if re.search(r"│ +(5e-4|1e-3|2e-3) │", line)]
    assert len(rows) == 3, said
    runs = [run for run in pipelines(week) if "sample.psnr" in run.data.metrics]
    assert {run.data.params["lr"] for run in runs} >= {"0.0005", "0.002"}
    for run in runs:
        assert run.info.status == "FINISHED"
        assert "vqgan.psnr" in run.data.metrics  # also of stages that were skipped


def test_tuesday_the_best_is_applied_in_seconds(week):
    shown = json.loads(week.run("dvc exp show --json"))
    names = [e["revs"][0]["name"] for base in shown for e in base.get("experiments") or ()]
    begin = time.monotonic()
    week.run(f"dvc exp apply {names[0]}")
    assert "up to date" in week.run("dvc repro")
    assert time.monotonic() - begin < 60


def test_wednesday_code_of_the_transformer_alone_is_changed(week):
    model = week.folder / "cvg/transformer/model.py"
    model.write_text(model.read_text() + "\n# a change\n")
    said = week.run("cvg explain train_transformer@top")
    assert "cvg/transformer/model.py: modified" in said
    assert "up to date" in week.run("cvg explain train_vqgan")
    ran = week.run("dvc repro train_transformer")
    assert "Running stage 'train_transformer@top'" in ran
    assert "Running stage 'train_vqgan'" not in ran


def test_thursday_dvc_is_killed_and_the_stage_goes_on_afterwards(week):
    params = week.folder / "params.yaml"
    text = params.read_text()
    params.write_text(text.replace("lr: ", "lr: 1.5e-3  # was: ", 1))
    process = start_in_silence(week, "repro", "train_vqgan")
    until = time.monotonic() + 120
    while not list(week.folder.glob(".runs/train_vqgan/*/checkpoints/step-*")):
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.02)
    stage = next(pid for pid in children(process.pid) if b"train-vqgan" in command_of(pid))
    process.send_signal(signal.SIGKILL)
    process.wait()
    # At once, while the orphan may still be leaving.
    said = week.run("dvc repro train_vqgan")
    assert "goes on from step" in said
    assert not Path(f"/proc/{stage}").exists()
    assert [path.name for path in week.folder.glob(".runs/train_vqgan/*")] == []
    params.write_text(text)


def children(pid):
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command_of(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def start_in_silence(week, *words):
    """Begin a command of DVC, whose workers outlive it and would hold a pipe open."""
    return subprocess.Popen(
        [sys.executable, "-m", "dvc", *words],
        cwd=week.folder,
        env=os.environ | {"CVG_TRACKING": "on", "MLFLOW_TRACKING_URI": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def stages_in(folder):
    """Numbers of the processes that train a VQGAN somewhere below a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            where = (process / "cwd").readlink()
            if where.is_relative_to(folder) and b"train-vqgan" in command_of(process.name):
                found.append(int(process.name))
        except OSError:  # It is over, or another user's.
            continue
    return found


def wait_for(condition, *, seconds=240):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return found


def test_friday_two_experiments_at_once_of_which_one_is_killed(week):
    values = [f"-S lr={lr} -S vqgan.steps=300 -S vqgan.validate_every=5" for lr in (3e-3, 4e-3)]
    for changes in values:
        week.run(f"dvc exp run --queue {changes} train_vqgan")
    start_in_silence(week, "queue", "start", "--jobs", "2").wait()
    exps = week.folder / ".dvc/tmp/exps"
    states = ".runs/train_vqgan/*/checkpoints/step-*"
    wait_for(lambda: len({path.parent for path in week.folder.glob(states)}) == 2)
    os.kill(stages_in(exps)[0], signal.SIGKILL)
    wait_for(lambda: "Running" not in week.run("dvc queue status"))
    shown = week.run("dvc queue status")
    assert shown.count("Failed") == 1, shown
    left = {path.parents[1] for path in week.folder.glob(states)}
    assert len(left) == 1  # what the killed one kept; the other's is gone with its end
    said = [
        week.run(f"dvc exp run --temp {changes} train_vqgan", check=False) for changes in values
    ]
    assert sum("goes on from step" in text for text in said) == 1, said
    assert list(week.folder.glob(states)) == []


def test_saturday_two_repros_at_once_do_not_meet(week):
    again = ("repro", "--force", "--single-item", "train_vqgan")
    lock = week.folder / ".dvc/tmp/rwlock"
    with start_in_silence(week, *again) as first:
        wait_for(lambda: str(first.pid) in lock.read_text() or first.poll() is not None)
        said = week.run(shlex.join(("dvc", *again)), check=False)
        assert str(first.pid) in said, said
        assert "Running stage" not in said
    assert first.returncode == 0
    assert "up to date" in week.run("dvc status train_vqgan")


def test_sunday_the_way_back_costs_seconds_and_nothing_is_left(week):
    week.run("git checkout -- ./cvg/ params.yaml dvc.lock")
    begin = time.monotonic()
    said = week.run("dvc repro")
    # DVC keeps no results of a stage with an output that is Git's: the page is made anew.
    assert re.findall("Running stage '(.*)'", said) in ([], ["report"]), said
    assert time.monotonic() - begin < 60
    findings = week.run("cvg doctor", check=False)
    assert "fail " not in findings
    assert not re.search(r"^warn +tracking", findings, re.MULTILINE)
