"""The record of runs, against real SQLite stores."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from cvg.files import project_root
from cvg.tracking import Tracker, open_tracker, recorder
from cvg.tracking import tracker as tracker_module
from cvg.tracking.journal import Journal, read_appended
from cvg.tracking.store import process_name, store_uri

# Of stages; the run of the pipeline, which they hang below, has tags and figures of its own.
STAGES = "(select run_uuid from tags where key = 'stage' and value != 'pipeline')"
FIGURES = (
    f"select key, value, step from metrics where run_uuid in {STAGES} "
    "and key not like 'system/%' order by step, key"
)
STATUS = f"select status from runs where run_uuid in {STAGES}"
STAGE = """
import sys, time
from cvg.tracking import open_tracker
with open_tracker("extract", params={"seed": 0}) as tracker:
    tracker.log_metrics({"loss": 1.5}, step=1)
    exec(sys.argv[1])
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The root of a project without runs, as the current folder."""
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in [name for name in os.environ if name.startswith(("CVG_", "DVC_"))]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def no_recorder(monkeypatch):
    """Journals without a recorder, which saves seconds."""
    monkeypatch.setattr(tracker_module, "_find_or_start_recorder", lambda journal: None)


def query(database, sql):
    connection = sqlite3.connect(database)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def journals(home):
    return sorted((home / ".runs/tracking").glob("*.jsonl"))


def events(journal):
    with journal.open("rb") as file:
        return read_appended(file)


def stage(home, body="", **environment):
    return subprocess.Popen(
        [sys.executable, "-c", STAGE, body],
        cwd=home,
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def recorders(home):
    """Numbers of the processes that carry journals of this project."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue  # It has just ended.
        if "cvg.tracking.recorder" in words and any(word.startswith(str(home)) for word in words):
            found.append(int(process.name))
    return found


def test_figures_params_tags_and_files_arrive(home):
    (home / "sheet.png").write_bytes(b"picture")
    with open_tracker("train_vqgan", params={"seed": 0, "vqgan.width": 32}) as tracker:
        for step in range(900):  # more than one batch
            tracker.log_metrics({"loss": 1 / (step + 1)}, step=step)
        tracker.log_artifact(home / "sheet.png", "sheets")
        (home / "sheet.png").unlink()  # kept as it was
        tracker.set_tag("preset", "quick")
        tracker.log_final({"loss": 7.0, "psnr": float("nan")})
    database = home / "mlflow.db"
    assert [row[1] for row in query(database, FIGURES) if row[0] == "loss"][:3] == [1, 1 / 2, 1 / 3]
    assert len(query(database, FIGURES)) == 902
    assert query(database, "select value from latest_metrics where key = 'loss'") == [(7.0,)]
    assert set(query(database, f"select key, value from params where run_uuid in {STAGES}")) == {
        ("seed", "0"),
        ("vqgan.width", "32"),
    }
    tags = dict(query(database, f"select key, value from tags where run_uuid in {STAGES}"))
    assert (tags["stage"], tags["preset"]) == ("train_vqgan", "quick")
    assert query(database, "select name, status from runs order by name") == [
        ("by hand", "FINISHED"),
        ("train_vqgan", "FINISHED"),
    ]
    kept = list((home / "mlartifacts").rglob("sheets/sheet.png"))
    assert [file.read_bytes() for file in kept] == [b"picture"]
    assert journals(home) == []
    assert list((home / ".runs/tracking").iterdir()) == []


@pytest.mark.parametrize(
    ("failure", "status", "text"),
    [
        (ValueError("bad clip"), "FAILED", "ValueError: bad clip"),
        (KeyboardInterrupt(), "KILLED", "KeyboardInterrupt: "),
    ],
)
def test_journal_says_how_the_stage_ended(home, no_recorder, failure, status, text):
    with pytest.raises(type(failure)), open_tracker("extract", params={}):
        raise failure
    *_, tag, end = events(journals(home)[0])
    assert (tag["value"], end["status"]) == (text, status)


@pytest.mark.slow
@pytest.mark.ci
def test_run_of_a_stage_with_an_error_has_failed(home):
    process = stage(home, "raise ValueError('bad clip')")
    assert "bad clip" in process.communicate(timeout=100)[1]
    assert query(home / "mlflow.db", STATUS) == [("FAILED",)]
    assert query(home / "mlflow.db", FIGURES) == [("loss", 1.5, 1)]


@pytest.mark.slow
@pytest.mark.ci
def test_run_of_a_killed_stage_is_closed(home):
    process = stage(home, "sys.stderr.write('up'); sys.stderr.flush(); time.sleep(60)")
    process.stderr.read(2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_until(lambda: journals(home) == [])  # the recorder outlives it
    assert query(home / "mlflow.db", STATUS) == [("KILLED",)]
    assert query(home / "mlflow.db", FIGURES) == [("loss", 1.5, 1)]


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:////proc/no/such/folder.db",
        pytest.param("nonsense://here", marks=[pytest.mark.slow, pytest.mark.ci]),
        pytest.param("http://127.0.0.1:9", marks=[pytest.mark.slow, pytest.mark.ci]),
    ],
)
def test_failing_store_costs_one_line_and_no_figure(home, uri):
    process = stage(home, "print('done')", MLFLOW_TRACKING_URI=uri)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 0
    assert errors.count("\n") == 1
    assert errors.startswith("warning: tracking: ")
    assert uri in errors
    (journal,) = journals(home)
    assert [e["figures"] for e in events(journal) if e["kind"] == "metrics"] == [{"loss": 1.5}]


@pytest.mark.slow
@pytest.mark.ci
def test_journal_that_was_left_is_sent_once(home, no_recorder):
    with open_tracker("extract", params={}) as tracker:
        tracker.log_metrics({"loss": 2.5}, step=1)
    (journal,) = journals(home)
    copy = journal.read_bytes()
    for _ in range(2):
        journal.write_bytes(copy)
        subprocess.run([sys.executable, "-m", "cvg.tracking.recorder", str(journal)], check=True)
    alive = f"{STATUS} and lifecycle_stage = 'active'"
    assert query(home / "mlflow.db", alive) == [("FINISHED",)]
    assert query(home / "mlflow.db", STATUS) == [("FINISHED",)] * 2
    assert journals(home) == []


@pytest.mark.slow
@pytest.mark.ci
def test_four_processes_start_a_cold_store_at_once(home):
    processes = [stage(home) for _ in range(4)]
    assert [process.communicate(timeout=200)[1] for process in processes] == [""] * 4
    assert query(home / "mlflow.db", STATUS) == [("FINISHED",)] * 4
    assert query(home / "mlflow.db", "select count(*) from experiments where name = 'cvg'") == [
        (1,)
    ]


def test_journal_that_cannot_be_written_stops_nothing(home, no_recorder, capsys):
    (home / ".runs").touch()  # a file where a folder is needed
    with open_tracker("extract", params={}) as tracker:
        tracker.log_metrics({"loss": 1.0}, step=1)
        tracker.log_artifact(home / "dvc.yaml")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2  # the journal, once, and the file
    assert all(line.startswith("warning: tracking: ") for line in lines)


def test_missing_file_is_said_and_stops_nothing(home, no_recorder, capsys):
    with open_tracker("extract", params={}) as tracker:
        tracker.log_artifact(home / "absent.png")
    assert "absent.png is not logged" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "value"), [("CVG_TRACKING", "off"), ("RANK", "1")])
def test_switched_off_tracker_leaves_no_trace(home, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with open_tracker("extract", params={}) as tracker:
        tracker.log_metrics({"loss": 1.0}, step=1)
        tracker.log_artifact(home / "dvc.yaml")
        tracker.set_tag("a", "b")
    assert sorted(home.iterdir()) == [home / "dvc.yaml"]


def test_final_figures_stand_at_the_last_step(home):
    journal = Journal(home / "journal.jsonl")
    tracker = Tracker(journal)
    tracker.log_metrics({"loss": 2.0}, step=7)
    tracker.log_metrics({"loss": 3.0}, step=5)
    tracker.log_final({"loss": 1.0})
    journal.close()
    assert [event["step"] for event in events(home / "journal.jsonl")] == [7, 5, 7]


def test_line_that_is_still_written_is_left_for_the_next_time(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text('{"a": 1}\n{"a"')
    with path.open("rb") as file:
        assert read_appended(file) == [{"a": 1}]
        with path.open("a") as more:
            more.write(": 2}\n")
        assert read_appended(file) == [{"a": 2}]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", "sqlite:////p/mlflow.db"),
        ("sqlite:///runs/a.db", "sqlite:////p/runs/a.db"),
        ("sqlite:////q/a.db", "sqlite:////q/a.db"),
        ("runs", "file:///p/runs"),
        ("file:runs", "file:///p/runs"),
        ("http://there:5000", "http://there:5000"),
        ("postgresql://there/a", "postgresql://there/a"),
    ],
)
def test_relative_stores_are_relative_to_the_project(monkeypatch, given, expected):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    assert store_uri(Path("/p")) == expected


def test_root_is_the_main_checkout(home, monkeypatch):
    temporary = home / ".dvc/tmp/exps/standalone/tmpabc"
    (temporary / "data").mkdir(parents=True)
    (temporary / "dvc.yaml").touch()
    monkeypatch.chdir(temporary / "data")
    assert project_root() == home.resolve()
    monkeypatch.setenv("DVC_ROOT", str(home / "elsewhere"))
    assert project_root() == (home / "elsewhere").resolve()


def groups(home):
    return [events(path)[0]["group"] for path in journals(home)]


def test_stages_of_one_run_of_dvc_belong_together(home, no_recorder, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "extract")
    for stage in ("a_extract", "b_tokenize"):
        with open_tracker(stage, params={"seed": stage}):
            pass
    monkeypatch.setenv("DVC_EXP_NAME", "calm-fish")
    with open_tracker("c_tokenize", params={}):
        pass
    first, second, third = groups(home)
    assert first == second
    assert process_name(os.getppid()) in first["key"]
    assert (first["name"], third["name"]) == ("dvc repro", "calm-fish")


def test_commands_by_hand_belong_together_while_the_parameters_are_the_same(home, no_recorder):
    for number, seed in enumerate((0, 0, 1)):
        with open_tracker(f"stage_{number}", params={}, all_params={"seed": seed}):
            pass
    first, second, third = groups(home)
    assert first == second
    assert third["key"] != first["key"]


def test_a_name_that_is_given_is_the_group(home, no_recorder, monkeypatch):
    monkeypatch.setenv("CVG_PIPELINE", "it's mine")
    with open_tracker("extract", params={}):
        pass
    assert groups(home) == [{"key": "it_s mine", "name": "it's mine"}]


@pytest.mark.slow
@pytest.mark.ci
def test_a_pipeline_is_one_run_with_all_parameters_its_stages_below_it(home, monkeypatch):
    monkeypatch.setenv("CVG_PIPELINE", "mine")
    every = {"seed": 0, "vqgan.width": 32}
    (home / "page.html").write_text("page")
    digest = "ab" * 32
    with open_tracker("train_vqgan", params={"seed": 0}, all_params=every) as tracker:
        tracker.log_metrics({"loss": 2.0}, step=3)
        tracker.log_final({"psnr": 21.0})
        tracker.log_dataset("frames", digest="cd" * 32, path=home / "data/frames")
        tracker.log_model("vqgan", digest=digest, path=home / "data/vqgan")
    with open_tracker("report", params={}, all_params=every) as tracker:
        tracker.log_model("vqgan", digest=digest, path=home / "data/vqgan")
        tracker.log_pipeline({"sample.psnr": 19.0})
        tracker.log_artifact(home / "page.html", of_pipeline=True)
    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "cvg"]
    runs = client.search_runs([experiment.experiment_id])
    parent = next(run for run in runs if run.info.run_name == "mine")
    stages = {run.info.run_name: run for run in runs if run is not parent}
    assert parent.info.status == "FINISHED"
    assert parent.data.params == {"seed": "0", "vqgan.width": "32"}
    assert parent.data.metrics == {"train_vqgan/psnr": 21.0, "sample.psnr": 19.0}
    assert [file.path for file in client.list_artifacts(parent.info.run_id)] == ["page.html"]
    assert set(stages) == {"train_vqgan", "report"}
    for run in stages.values():
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    (given,) = stages["train_vqgan"].inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("frames", "cd" * 16)
    (model,) = client.search_logged_models([experiment.experiment_id])
    assert model.tags["content"] == digest
    assert model.source_run_id == stages["train_vqgan"].info.run_id
    report = client.get_run(stages["report"].info.run_id)
    assert [m.model_id for m in report.inputs.model_inputs] == [model.model_id]


@pytest.mark.slow
@pytest.mark.ci
def test_a_locked_or_removed_database_costs_no_figure_and_the_next_stage_sends_them(home):
    assert stage(home).communicate(timeout=100)[1] == ""
    database = home / "mlflow.db"
    holder = sqlite3.connect(database, isolation_level=None)
    holder.execute("begin exclusive")
    process = stage(home, MLFLOW_SQLALCHEMYSTORE_POOLCLASS="NullPool")
    errors = process.communicate(timeout=200)[1]
    assert process.returncode == 0
    assert "database is locked" in errors
    holder.execute("commit")
    holder.close()
    assert len(journals(home)) == 1

    body = "time.sleep(8); __import__('os').remove('mlflow.db'); "
    body += "tracker.log_metrics({'loss': 9}, step=2)"
    process = stage(home, body)
    errors = process.communicate(timeout=200)[1]
    assert process.returncode == 0
    assert "failed" in errors
    left = len(journals(home))
    assert left >= 1

    assert stage(home).communicate(timeout=200)[1] == ""
    assert journals(home) == []
    assert ("loss", 9.0, 2) in query(database, FIGURES)
    assert query(database, STATUS) == [("FINISHED",)] * (left + 1)


# What DVC does: one stage after the other, until standard input ends.
RUN = """
import os, subprocess, sys
for body in sys.stdin:
    environment = os.environ | {"DVC_STAGE": "extract"}
    done = subprocess.run([sys.executable, "-c", sys.argv[1], body], env=environment, stderr=-1)
    print(done.stderr.decode().replace(chr(10), "|"), flush=True)
"""


@pytest.fixture
def run(home):
    """Start stages of one run; give what each says."""
    command = [sys.executable, "-c", RUN, STAGE]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def stage_of_run(body="pass"):
        process.stdin.write(f"{body}\n")
        process.stdin.flush()
        return process.stdout.readline().rstrip("\n")

    yield stage_of_run
    process.communicate()
    wait_until(lambda: not recorders(home))


@pytest.mark.slow
@pytest.mark.ci
def test_stages_of_one_run_share_a_recorder_that_ends_with_it(home, run):
    assert run() == ""
    (first,) = recorders(home)
    assert run("tracker.log_metrics({'loss': 2.5}, step=2)") == ""
    assert recorders(home) == [first]

    # One that was killed while it waited, and one whose database is gone, are not used.
    os.kill(first, signal.SIGKILL)
    assert run() == ""
    (second,) = recorders(home)
    assert second != first
    (home / "mlflow.db").rename(home / "before.db")
    assert run("tracker.log_metrics({'loss': 3.5}, step=2)") == ""
    assert query(home / "before.db", STATUS) == [("FINISHED",)] * 3
    assert ("loss", 2.5, 2) in query(home / "before.db", FIGURES)
    assert query(home / "mlflow.db", FIGURES) == [("loss", 1.5, 1), ("loss", 3.5, 2)]
    assert journals(home) == []


@pytest.mark.slow
@pytest.mark.ci
def test_a_recorder_that_is_killed_at_work_costs_one_line_and_no_figure(home, run):
    kill = "import signal, pathlib; " + "; ".join(
        [
            "home = pathlib.Path.cwd()",
            "numbers = [p.name for p in pathlib.Path('/proc').glob('[0-9]*')]",
            "lines = {n: pathlib.Path('/proc', n, 'cmdline') for n in numbers}",
            "found = [n for n in lines if f'recorder{chr(0)}{home}' in lines[n].read_text()]",
            "[__import__('os').kill(int(n), 9) for n in found]",
        ]
    )
    assert run(kill).startswith("warning: tracking: the recorder ended too soon; the figures")
    assert len(journals(home)) == 1
    assert run() == ""
    assert query(home / "mlflow.db", STATUS) == [("FINISHED",)] * 2


def test_process_is_told_from_a_later_one_with_its_number():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    time.sleep(0.05)
    assert process_name(process.pid) == process_name(process.pid)
    assert process_name(process.pid).split("-")[1] != process_name(os.getpid()).split("-")[1]
    process.communicate(b"\n")


def test_journal_is_one_json_object_a_line(home, no_recorder):
    with open_tracker("extract", params={"text": "two\nlines"}) as tracker:
        tracker.set_tag("note", "two\nlines")
    lines = journals(home)[0].read_text().splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["start", "tag", "end"]


def test_only_changes_by_hand_make_the_checkout_dirty(project, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    (project / "dvc.lock").write_text("written by DVC\n")
    (project / "reports/metrics.json").write_text("written by a stage\n")
    (project / "data/.frames.partial-7").mkdir()
    (project / "data/.frames.partial-7/frames-00000.npy").touch()
    tags = recorder._git_tags()
    assert len(tags["git.commit"]) == 40
    assert tags["git.dirty"] == "false"
    (project / "params.yaml").write_text("seed: 1\n")
    assert recorder._git_tags()["git.dirty"] == "true"
    monkeypatch.setenv("DVC_EXP_NAME", "calm-fish")  # then DVC wrote it
    assert recorder._git_tags()["git.dirty"] == "false"
    (project / "cvg/errors.py").write_text("")
    assert recorder._git_tags()["git.dirty"] == "true"
