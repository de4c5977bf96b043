"""What a stage sees of the record of runs.

A stage appends what it logs to a journal in `.runs/tracking`. A second process, the recorder,
carries the journal to MLflow. So the stage never waits for MLflow's import or database, an MLflow
that fails cannot stop a stage, what was not delivered stays in the journal, and the run of a stage
that was killed is closed by the recorder.

Environment: CVG_TRACKING=off logs nothing; MLFLOW_TRACKING_URI replaces the store.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cvg.files import project_root
from cvg.tracking.journal import Journal, warn
from cvg.tracking.store import JOURNALS, process_name, store_uri

SECONDS_TO_FINISH = 120.0

RECORDER_ENVIRONMENT = {
    # A server that does not answer is given up soon; the figures are kept anyway.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "PYTHONWARNINGS": "ignore",
    "OMP_NUM_THREADS": "1",
}


class Tracker:
    """Takes the figures of one run; without a journal it does nothing."""

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal
        self._last_step = 0

    def log_metrics(self, figures: Mapping[str, float], *, step: int) -> None:
        """Log figures of one step of the work."""
        if self._journal is not None:
            self._last_step = max(self._last_step, step)
            values = {name: float(value) for name, value in figures.items()}
            self._journal.append("metrics", figures=values, step=step)

    def log_final(self, figures: Mapping[str, float]) -> None:
        """Log the figures that the run ends with; each becomes the latest of its name."""
        self.log_metrics(figures, step=self._last_step)

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Log a file as it is now, under `folder` of the run's artifacts."""
        if self._journal is not None:
            self._journal.append_artifact(path, folder)

    def set_tag(self, name: str, value: str) -> None:
        """Describe the run."""
        if self._journal is not None:
            self._journal.append("tag", name=name, value=value)


@contextmanager
def open_tracker(stage: str, *, params: Mapping[str, Any]) -> Iterator[Tracker]:
    """Open the run of a stage, and close it with how the stage ended.

    Args:
        stage: name of the stage, which becomes the name of the run.
        params: `section.key` to value.

    Side effects: writes a journal in `.runs/tracking` of the project and starts the recorder, which
    is waited for at the end. Only the first of several training processes (RANK 0) logs.
    """
    if os.environ.get("CVG_TRACKING") == "off" or os.environ.get("RANK", "0") != "0":
        yield Tracker(None)
        return
    journal = _start_journal(stage, params)
    recorder = _start_recorder(journal.path)
    try:
        yield Tracker(journal)
    except BaseException as error:
        status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
        journal.append("tag", name="error", value=f"{type(error).__name__}: {error}"[:500])
        journal.append("end", status=status)
        raise
    else:
        journal.append("end", status="FINISHED")
    finally:
        journal.close()
        _finish_recorder(recorder, journal.path)


def _start_journal(stage: str, params: Mapping[str, Any]) -> Journal:
    root = project_root()
    name = f"{stage}-{os.getpid()}-{time.time_ns() // 1_000_000}.jsonl"
    journal = Journal(root / JOURNALS / name)
    tags = {"process": process_name(os.getpid())}
    if "DVC_STAGE" in os.environ:
        # DVC runs a stage directly, so it is our parent process.
        tags["pipeline"] = os.environ.get("DVC_EXP_NAME") or process_name(os.getppid())
    journal.append(
        "start",
        stage=stage,
        process=os.getpid(),
        root=str(root),
        uri=store_uri(root),
        params={key: str(value) for key, value in params.items()},
        tags=tags,
    )
    return journal


def _start_recorder(journal: Path) -> "subprocess.Popen[bytes] | None":
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "cvg.tracking.recorder", str(journal)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            # Ctrl-C, or the end of the process group, must leave it alive to close the run.
            start_new_session=True,
            env=RECORDER_ENVIRONMENT | os.environ,
        )
    except OSError as error:
        warn(f"the recorder did not start ({error}); the figures are kept in {journal}")
        return None


def _finish_recorder(recorder: "subprocess.Popen[bytes] | None", journal: Path) -> None:
    if recorder is None or recorder.stdin is None:
        return
    recorder.stdin.close()
    try:
        status = recorder.wait(SECONDS_TO_FINISH)
    except subprocess.TimeoutExpired:
        recorder.kill()
        status = recorder.wait()
    if status not in (0, 1):  # With 1 it has said itself what is wrong.
        warn(f"the recorder ended with {status}; the figures are kept in {journal}")
