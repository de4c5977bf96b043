"""`cvg ui`."""

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
import typer

from cvg.errors import UserError
from pipeline import ui

SCRIPT = "import sys, typer; from pipeline.ui import ui; typer.run(ui)"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def free_port():
    with socket.socket() as probe:
        probe.bind((ui.HOST, 0))
        return probe.getsockname()[1]


def test_without_a_run_it_says_what_to_do(home):
    with pytest.raises(UserError, match=r"mlflow\.db: no runs are recorded yet; run `dvc repro`"):
        ui.ui(port=5000)


def test_used_port_is_told(home):
    (home / "mlflow.db").touch()
    with socket.socket() as other:
        other.bind((ui.HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} cannot be used .* --port"):
            ui.ui(port=port)


def test_server_is_named_and_none_is_started(home, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://there:5000")
    ui.ui(port=5000)
    assert "http://there:5000" in capsys.readouterr().out


def test_mlflow_is_reachable_from_this_machine_only():
    words = ui.command("sqlite:////p/mlflow.db", 5001)
    pairs = dict(itertools.pairwise(words))
    assert pairs["--host"] == "127.0.0.1"
    assert pairs["--workers"] == "1"
    assert pairs["--port"] == "5001"
    assert pairs["--backend-store-uri"] == "sqlite:////p/mlflow.db"


def test_everything_that_was_started_is_stopped(home, monkeypatch):
    (home / "mlflow.db").touch()
    # A launcher that dies at once and leaves a worker behind, as MLflow's does.
    worker = "import os, sys, time; os.fork() and sys.exit(3); time.sleep(60)"
    monkeypatch.setattr(ui, "command", lambda *_: [sys.executable, "-c", worker])
    groups = []
    popen = subprocess.Popen

    def start(*args, **settings):
        groups.append(popen(*args, **settings))
        return groups[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(typer.Exit) as ended:
        ui.ui(port=free_port())
    signal.signal(signal.SIGTERM, handler)
    assert ended.value.exit_code == 3
    assert _is_gone(groups[0].pid)


@pytest.mark.slow
@pytest.mark.ci
def test_the_page_is_served_until_ctrl_c(home):
    (home / "mlflow.db").touch()
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "--port", str(port)],
        stderr=subprocess.DEVNULL,
        # A shell starts its background jobs deaf to Ctrl-C, and what they start inherits that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert "MLflow" in _page(f"http://{ui.HOST}:{port}/", seconds=120)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    with pytest.raises(OSError, match="refused"):
        _page(f"http://{ui.HOST}:{port}/", seconds=0)


def _page(address, *, seconds):
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return answer.read().decode()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


def _is_gone(group):
    for _ in range(50):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False
