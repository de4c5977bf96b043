"""Where the record of runs is kept: an MLflow store, by default a SQLite file of the project."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "cvg"
JOURNALS = Path(".runs/tracking")


@dataclass(frozen=True, kw_only=True)
class StoreState:
    """What `cvg doctor` wants to know of a store.

    Attributes:
        num_runs: runs of the experiment, at most 1000.
        artifact_location: address under which new runs keep their files.
        abandoned: names and ids of runs that count as running though their process is gone.
    """

    num_runs: int
    artifact_location: str
    abandoned: list[str]


def store_uri(root: Path) -> str:
    """Give the address of the store; relative paths are relative to the project."""
    given = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    if given.startswith("sqlite:///"):
        return f"sqlite:///{root / given.removeprefix('sqlite:///')}"
    if "://" in given or given.startswith("databricks"):
        return given
    return (root / given.removeprefix("file:")).as_uri()


def database_file(uri: str) -> Path | None:
    """Give the file of a SQLite store; None of another store."""
    if not uri.startswith("sqlite:///"):
        return None
    return Path(uri.removeprefix("sqlite:///").partition("?")[0])


def process_name(pid: int) -> str:
    """Name a process by its number and, where the system tells it, its start time."""
    try:
        # The name of the program stands in parentheses and may contain blanks.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return str(pid)
    return f"{pid}-{fields[19]}"


def open_store(uri: str, root: Path) -> "tuple[MlflowClient, str]":
    """Connect to the store; on first use, make its tables and the experiment.

    Returns:
        The client and the id of the experiment.

    Raises:
        Exception: of whatever kind MLflow raises when the store cannot be used.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    from mlflow import MlflowClient

    with store_lock(uri):
        # The client makes the tables, so it too must be made under the lock.
        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            # Left to itself, MLflow would note the present folder, which may be a temporary one;
            # only a server keeps artifacts where it wants.
            place = None if uri.startswith("http") else (root / "mlartifacts").as_uri()
            return client, client.create_experiment(EXPERIMENT, artifact_location=place)
        if experiment.lifecycle_stage == "deleted":
            client.restore_experiment(experiment.experiment_id)
    return client, experiment.experiment_id


def inspect_store(uri: str, root: Path) -> StoreState:
    """Look at the store, making it on first use.

    Raises:
        Exception: of whatever kind MLflow raises when the store cannot be used.
    """
    client, experiment_id = open_store(uri, root)
    runs = client.search_runs([experiment_id])
    abandoned = [
        f"{run.info.run_name} {run.info.run_id}"
        for run in runs
        if run.info.status == "RUNNING" and not is_alive(run.data.tags.get("process", ""))
    ]
    location = client.get_experiment(experiment_id).artifact_location
    return StoreState(num_runs=len(runs), artifact_location=location, abandoned=abandoned)


def is_alive(process: str) -> bool:
    """Say whether the process of this name, as `process_name` gives it, still runs."""
    pid = process.partition("-")[0]
    return pid.isdigit() and Path(f"/proc/{pid}").exists() and process_name(int(pid)) == process


def is_gone(process: str) -> bool:
    """Say whether the process of this name has ended; False where the system does not tell."""
    return "-" in process and not is_alive(process)


@contextmanager
def store_lock(uri: str) -> Iterator[None]:
    """Let one process at a time make the tables of a SQLite store, or the run of a pipeline."""
    database = database_file(uri)
    if database is None:
        yield
        return
    with Path(f"{database}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
