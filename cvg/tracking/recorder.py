"""The recorder: a process that carries the journal of one run to MLflow.

    python -m cvg.tracking.recorder .runs/tracking/JOURNAL.jsonl

The stage that writes the journal starts it. Started by hand, it sends a journal that was left.
"""

import importlib.metadata
import json
import logging
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from cvg.tracking.journal import Event, read_appended, remove_journal, warn
from cvg.tracking.store import open_store

if TYPE_CHECKING:
    from mlflow import MlflowClient

SECONDS_BETWEEN_FLUSHES = 3.0
# MLflow takes at most 1000 items in a batch, of these at most 100 parameters.
METRICS_A_BATCH = 800
PARAMS_A_BATCH = 100


def record(path: Path) -> int:
    """Carry a journal to MLflow, following it while the stage that writes it lives.

    Returns:
        Status of the process: 0 when everything arrived (the journal is removed), else 1.
    """
    uri = "MLflow"
    try:
        with path.open("rb") as journal:
            start = json.loads(journal.readline())
            uri = start["uri"]
            _carry(journal, start, name=path.name)
        remove_journal(path)
    # Whatever it is, it is no reason to stop the stage, and the figures are in the journal.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        again = f"{sys.executable} -m cvg.tracking.recorder {path}"
        warn(f"{uri} failed ({reason}); the figures are kept; to send them later: {again}")
        return 1
    return 0


def _carry(journal: IO[bytes], start: Event, *, name: str) -> None:
    client, experiment_id = open_store(start["uri"], Path(start["root"]))
    # A journal that is sent once more replaces what had arrived of it.
    for run in client.search_runs([experiment_id], f"tags.journal = '{name}'"):
        client.delete_run(run.info.run_id)
    run = client.create_run(
        experiment_id,
        start_time=start["time_ms"],
        tags={"stage": start["stage"], "journal": name}
        | start["tags"]
        | _version_tags()
        | _git_tags(),
        run_name=start["stage"],
    )
    _log_params(client, run.info.run_id, start["params"])
    status = "KILLED"  # unless the journal says how the stage ended
    for events in _follow(journal, start["process"]):
        _deliver(client, run.info.run_id, events)
        status = next((event["status"] for event in events if event["kind"] == "end"), status)
    client.set_terminated(run.info.run_id, status)


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


def _deliver(client: "MlflowClient", run_id: str, events: Sequence[Event]) -> None:
    from mlflow.entities import Metric

    metrics = [
        Metric(name, value, event["time_ms"], event["step"])
        for event in events
        if event["kind"] == "metrics"
        for name, value in event["figures"].items()
    ]
    for batch in _batches(metrics, METRICS_A_BATCH):
        client.log_batch(run_id, metrics=batch)
    for event in events:
        if event["kind"] == "artifact":
            client.log_artifact(run_id, event["path"], event["folder"] or None)
        elif event["kind"] == "tag":
            client.set_tag(run_id, event["name"], event["value"])


def _log_params(client: "MlflowClient", run_id: str, params: dict[str, str]) -> None:
    from mlflow.entities import Param

    for batch in _batches([Param(*item) for item in params.items()], PARAMS_A_BATCH):
        client.log_batch(run_id, params=batch)


def _batches(items: list[Any], size: int) -> Iterator[list[Any]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]


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
    logging.disable(logging.CRITICAL)
    sys.exit(record(Path(sys.argv[1])))
