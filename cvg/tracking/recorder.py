"""The recorder: a process that carries the journal of a run to MLflow, and then that of the next.

    python -m cvg.tracking.recorder .runs/tracking/JOURNAL.jsonl

The stage that writes the journal starts it. Started by hand, it sends a journal that was left.
"""

import fcntl
import importlib.metadata
import json
import logging
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO

from cvg.tracking.delivery import Delivery
from cvg.tracking.journal import Event, read_appended, remove_journal, warn
from cvg.tracking.line import WITH_LINE, next_line, say
from cvg.tracking.store import database_file, is_alive, is_gone, open_store

SECONDS_BETWEEN_FLUSHES = 3.0
SECONDS_BETWEEN_SYSTEM_METRICS = 10
NICENESS = 10  # the stage, whose threads wait for each other, goes first


def record(path: Path, line: socket.socket | None) -> str:
    """Carry a journal to MLflow, following it while the stage that writes it lives.

    Where that went well, journals that earlier stages could not deliver are sent after it.

    Args:
        path: of the journal, which is removed when everything has arrived.
        line: to the stage; None where the stage is over.

    Returns:
        what went wrong; empty when everything has arrived.
    """
    uri = "MLflow"
    try:
        with path.open("rb") as journal:
            fcntl.flock(journal, fcntl.LOCK_EX)
            start = json.loads(journal.readline())
            uri = start["uri"]
            _carry(journal, start, name=path.name, line=line)
        remove_journal(path)
    # Whatever it is, it is no reason to stop the stage, and the figures are in the journal.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        again = f"{sys.executable} -m cvg.tracking.recorder {path}"
        return (
            f"{uri} failed ({reason}); the figures are kept, and the next stage sends them where "
            f"it can; to send them at once: {again}"
        )
    _send_left(path.parent, uri)
    return ""


def serve(path: Path, line: socket.socket) -> tuple[Path, socket.socket] | None:
    """Carry the journal of a stage; give that of the next stage of its run, if there is one."""
    with path.open("rb") as journal:
        start = json.loads(journal.readline())
    with line:
        say(line, str(os.getpid()))
        wrong = record(path, line)
        say(line, json.dumps(wrong))
    if wrong or not start.get("run"):
        return None
    database = database_file(start["uri"])
    known = _identity(database)
    # A database that was replaced would be written to under its old name, which is none.
    return next_line(path.parent, start["run"], lambda: _identity(database) == known)


def _identity(database: Path | None) -> int | None:
    """Tell a file from another one of its name; None where there is none."""
    return database.stat().st_ino if database and database.is_file() else None


def _send_left(folder: Path, uri: str) -> None:
    """Send the journals of stages that are over and whose recorders failed or were killed."""
    for path in sorted(folder.glob("*.jsonl")):
        # What fails again stays for the next time.
        with suppress(Exception), path.open("rb") as journal:
            fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
            start = json.loads(journal.readline())
            if start["uri"] == uri and not is_alive(start["tags"]["process"]):
                _carry(journal, start, name=path.name, line=None)
                remove_journal(path)


def _carry(journal: IO[bytes], start: Event, *, name: str, line: socket.socket | None) -> None:
    client, experiment_id = open_store(start["uri"], Path(start["root"]))
    database = database_file(start["uri"])
    opened = _identity(database)
    delivery = Delivery(
        client, experiment_id, start, journal=name, tags=_version_tags() | _git_tags()
    )
    status = "KILLED"  # unless the journal says how the stage ended
    with _system_metrics(delivery.run_id, start) if line else nullcontext():
        for events in _follow(journal, start["tags"]["process"], line):
            delivery.deliver(events)
            status = next((event["status"] for event in events if event["kind"] == "end"), status)
    delivery.close(status)
    if _identity(database) != opened:
        # What was written since went into a file that has no name any more.
        raise FileNotFoundError("the database was removed or replaced while the stage ran")


@contextmanager
def _system_metrics(run_id: str, start: Event) -> Iterator[None]:
    """Log every few seconds how busy the machine is, while the stage is at work."""
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(
        run_id, sampling_interval=SECONDS_BETWEEN_SYSTEM_METRICS, tracking_uri=start["uri"]
    )
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()


def _follow(journal: IO[bytes], stage: str, line: socket.socket | None) -> Iterator[list[Event]]:
    """Yield the events appended since last time, every few seconds, until the stage is over."""
    is_over = False
    while not is_over:
        # A stage that ends closes its side, unless a process that it forked holds it open.
        is_over = (
            line is None
            or bool(select.select([line], [], [], SECONDS_BETWEEN_FLUSHES)[0])
            or is_gone(stage)
        )
        yield read_appended(journal)


def _version_tags() -> dict[str, str]:
    versions = {name: importlib.metadata.version(name) for name in ("cvg", "torch", "mlflow")}
    return {"python": sys.version.partition(" ")[0], **versions}


def _git_tags() -> dict[str, str]:
    # What the pipeline itself writes into tracked files is no change by hand.
    written = ["dvc.lock", "reports"]
    if "DVC_EXP_NAME" in os.environ:
        written.append("params.yaml")
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--", ".", *(f":(exclude){name}" for name in written))
    tags = {} if commit is None else {"git.commit": commit}
    return tags if changes is None else tags | {"git.dirty": str(bool(changes)).lower()}


def _git(*words: str) -> str | None:
    command = ["git", "--no-optional-locks", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def main(path: Path, *, has_line: bool) -> None:
    """Serve the stage at the other end of the line, or send a journal that was left."""
    if not has_line:
        wrong = record(path, None)
        if wrong:
            warn(wrong)
        sys.exit(1 if wrong else 0)
    if os.fork() == 0:  # so that its stage, which may end before it, need not wait for it
        os.nice(NICENESS)
        work = (path, socket.socket(fileno=0))
        while work:
            work = serve(*work)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    main(Path(sys.argv[1]), has_line=WITH_LINE in sys.argv)
