"""The recorder: a process that carries the journal of one run to MLflow.

    python -m cvg.tracking.recorder .runs/tracking/JOURNAL.jsonl

The stage that writes the journal starts it. Started by hand, it sends a journal that was left.
"""

import fcntl
import importlib.metadata
import json
import logging
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from cvg.tracking.delivery import Delivery
from cvg.tracking.journal import Event, read_appended, remove_journal, warn
from cvg.tracking.store import database_file, is_alive, open_store

SECONDS_BETWEEN_FLUSHES = 3.0
SECONDS_BETWEEN_SYSTEM_METRICS = 10
NICENESS = 10  # the stage, whose threads wait for each other, goes first


def record(path: Path) -> int:
    """Carry a journal to MLflow, following it while the stage that writes it lives.

    Where that went well, journals that earlier stages could not deliver are sent after it.

    Returns:
        Status of the process: 0 when everything arrived (the journal is removed), else 1.
    """
    uri = "MLflow"
    try:
        with path.open("rb") as journal:
            fcntl.flock(journal, fcntl.LOCK_EX)
            start = json.loads(journal.readline())
            uri = start["uri"]
            _carry(journal, start, name=path.name)
        remove_journal(path)
    # Whatever it is, it is no reason to stop the stage, and the figures are in the journal.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        again = f"{sys.executable} -m cvg.tracking.recorder {path}"
        warn(
            f"{uri} failed ({reason}); the figures are kept, and the next stage sends them where "
            f"it can; to send them at once: {again}"
        )
        return 1
    _send_left(path.parent, uri)
    return 0


def _send_left(folder: Path, uri: str) -> None:
    """Send the journals of stages that are over and whose recorders failed or were killed."""
    for path in sorted(folder.glob("*.jsonl")):
        # What fails again stays for the next time.
        with suppress(Exception), path.open("rb") as journal:
            fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
            start = json.loads(journal.readline())
            if start["uri"] == uri and not is_alive(start["tags"]["process"]):
                _carry(journal, start, name=path.name)
                remove_journal(path)


def _carry(journal: IO[bytes], start: Event, *, name: str) -> None:
    client, experiment_id = open_store(start["uri"], Path(start["root"]))
    database = database_file(start["uri"])
    opened = database and database.stat().st_ino
    delivery = Delivery(
        client, experiment_id, start, journal=name, tags=_version_tags() | _git_tags()
    )
    status = "KILLED"  # unless the journal says how the stage ended
    with _system_metrics(delivery.run_id, start):
        for events in _follow(journal, start["process"]):
            delivery.deliver(events)
            status = next((event["status"] for event in events if event["kind"] == "end"), status)
    delivery.close(status)
    if database and not (database.is_file() and database.stat().st_ino == opened):
        # What was written since went into a file that has no name any more.
        raise FileNotFoundError("the database was removed or replaced while the stage ran")


@contextmanager
def _system_metrics(run_id: str, start: Event) -> Iterator[None]:
    """Log every few seconds how busy the machine is, while the stage is at work."""
    if os.getppid() != start["process"]:
        yield
        return
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(
        run_id, sampling_interval=SECONDS_BETWEEN_SYSTEM_METRICS, tracking_uri=start["uri"]
    )
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()


def _follow(journal: IO[bytes], stage_process: int) -> Iterator[list[Event]]:
    """Yield the events appended since last time, every few seconds, until the stage is over."""
    is_over = False
    while not is_over:
        # A stage that ends closes our standard input, unless a process that it forked holds it
        # open; a stage that died is our parent no more.
        is_over = os.getppid() != stage_process or bool(
            select.select([sys.stdin], [], [], SECONDS_BETWEEN_FLUSHES)[0]
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


if __name__ == "__main__":
    os.nice(NICENESS)
    logging.disable(logging.CRITICAL)
    sys.exit(record(Path(sys.argv[1])))
