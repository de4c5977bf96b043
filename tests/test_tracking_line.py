"""The line between a stage and its recorder, without MLflow."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from cvg.tracking import line as module
from cvg.tracking.line import Line, find_recorder, next_line, run_of_stages
from cvg.tracking.store import process_name


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    with theirs:
        yield Line(ours), theirs


def answer_at_the_end(theirs, *, number, wrong):
    theirs.sendall(f"{number}\n".encode())
    assert theirs.recv(1) == b""  # The stage is over.
    theirs.sendall(f"{json.dumps(wrong)}\n".encode())
    theirs.close()


@pytest.mark.parametrize("wrong", ["", "two\nlines"])
def test_a_stage_that_ends_hears_what_went_wrong(ends, wrong):
    line, theirs = ends
    words = {"number": os.getpid(), "wrong": wrong}
    thread = threading.Thread(target=answer_at_the_end, args=(theirs,), kwargs=words)
    thread.start()
    assert line.finish(10) == wrong
    thread.join()


@pytest.mark.parametrize("said", [b"", b"123\n", b'123\n"cut off'])
def test_a_recorder_that_is_gone_has_said_nothing(ends, said):
    line, theirs = ends
    theirs.sendall(said)
    theirs.close()
    assert line.finish(10) is None


def test_a_recorder_that_does_not_answer_is_killed(ends):
    line, theirs = ends
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    theirs.sendall(f"{process.pid}\n".encode())
    assert line.finish(0.05) is None
    assert process.wait(10) == -9
    process.stdin.close()


@contextmanager
def waiting(folder, *, is_usable=True):
    """Wait as a recorder does, in a thread; give the run, and what comes of it."""
    run = process_name(os.getpid())
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(next_line, folder, run, lambda: is_usable)
        while not (folder / f"{run}.sock").exists():
            time.sleep(0.001)
        yield run, future


def test_the_next_stage_finds_the_recorder_that_waits(tmp_path):
    journal = tmp_path / "extract-1.jsonl"
    with waiting(tmp_path) as (run, came), ThreadPoolExecutor(1) as stage:
        found = stage.submit(find_recorder, journal, run)
        path, theirs = came.result()
        assert path == journal
        assert list(tmp_path.iterdir()) == []  # Nobody else can knock.
        heard = stage.submit(lambda: found.result().finish(10))
        answer_at_the_end(theirs, number=7, wrong="a word")
        assert heard.result() == "a word"


def test_a_recorder_that_may_not_be_used_is_not_found(tmp_path):
    with waiting(tmp_path, is_usable=False) as (run, came):
        assert find_recorder(tmp_path / "extract-1.jsonl", run) is None
        assert came.result() is None


def test_nobody_waits_at_the_door_that_a_killed_recorder_left(tmp_path):
    door = tmp_path / "1-2.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(door))
    assert find_recorder(tmp_path / "extract-1.jsonl", "1-2") is None
    assert not door.exists()


def test_nobody_waits_when_the_run_is_over_or_nothing_comes(tmp_path, monkeypatch):
    assert next_line(tmp_path, f"{os.getpid()}-1", lambda: True) is None  # of an earlier process
    monkeypatch.setattr(module, "SECONDS_WITHOUT_WORK", 0.01)
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LOOKS", 0.01)
    assert next_line(tmp_path, process_name(os.getpid()), lambda: True) is None
    assert list(tmp_path.iterdir()) == []


def test_where_the_path_is_too_long_each_stage_has_its_own(tmp_path):
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    run = process_name(os.getpid())
    assert next_line(folder, run, lambda: True) is None
    assert find_recorder(folder / "extract-1.jsonl", run) is None


def test_only_stages_that_a_run_starts_share(monkeypatch):
    for name in module.STARTED_BY_A_RUN:
        monkeypatch.delenv(name, raising=False)
    assert run_of_stages() is None
    monkeypatch.setenv("DVC_STAGE", "extract")
    assert run_of_stages() == process_name(os.getppid())
