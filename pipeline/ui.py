"""Show the record of runs in a browser."""

import os
import signal
import socket
import subprocess
import sys
from types import FrameType
from typing import Annotated

import typer

from cvg.errors import UserError

HOST = "127.0.0.1"
SECONDS_TO_STOP = 10.0


def ui(
    port: Annotated[int, typer.Option(help="Port on this machine.", min=1, max=65535)] = 5000,
) -> None:
    """Show the record of runs in a browser, until Ctrl-C."""
    from cvg.files import project_root
    from cvg.tracking.store import database_file, store_uri

    uri = store_uri(project_root())
    if uri.startswith("http"):
        typer.echo(f"the runs are on the server {uri}")
        return
    database = database_file(uri)
    if database is not None and not database.is_file():
        raise UserError(f"{database}: no runs are recorded yet; run `dvc repro` first")
    _require_free(port)
    typer.echo(f"MLflow starts at http://{HOST}:{port} (some seconds; Ctrl-C stops it)")
    # In a process group of its own: ending the launcher alone would leave its workers behind.
    server = subprocess.Popen(
        command(uri, port), env=environment() | os.environ, start_new_session=True
    )
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        status = server.wait()
    except KeyboardInterrupt:
        status = 0
    finally:
        _stop(server)
    raise typer.Exit(status)


def command(uri: str, port: int) -> list[str]:
    """Give the command line of MLflow: one worker, reachable from this machine only."""
    words = f"-m mlflow ui --host {HOST} --port {port} --workers 1 --backend-store-uri".split()
    return [sys.executable, *words, uri]


def environment() -> dict[str, str]:
    """Give the settings of MLflow: no telemetry, and no job runner, which takes a minute."""
    return {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UserError(
                f"port {port} cannot be used ({error.strerror}); take another one with --port"
            ) from error


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _stop(server: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
            server.wait(SECONDS_TO_STOP)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
