"""What a stage sees of the record of runs.

A stage appends what it logs to a journal in `.runs/tracking`. A second process, the recorder,
carries the journal to MLflow. So the stage never waits for MLflow's import or database, an MLflow
that fails cannot stop a stage, what was not delivered stays in the journal, and the run of a stage
that was killed is closed by the recorder.

Environment: CVG_TRACKING=off logs nothing; MLFLOW_TRACKING_URI replaces the store.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cvg.files import project_root
from cvg.interrupts import Interrupted
from cvg.remote.url import Place
from cvg.tracking.group import group_of_stage
from cvg.tracking.journal import Journal, warn
from cvg.tracking.line import Line, find_recorder, run_of_stages, start_recorder
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
        self._last_step = max(self._last_step, step)
        self._append("metrics", figures=_as_floats(figures), step=step, is_final=False)

    def log_final(self, figures: Mapping[str, float]) -> None:
        """Log the figures that the run ends with; each becomes the latest of its name.

        The run of the pipeline has them too, under the name of the stage.
        """
        self._append("metrics", figures=_as_floats(figures), step=self._last_step, is_final=True)

    def log_pipeline(self, figures: Mapping[str, float]) -> None:
        """Log figures of the whole pipeline, those of stages that were skipped among them."""
        self._append("pipeline_metrics", figures=_as_floats(figures), step=0)

    def log_artifact(self, path: Path, folder: str = "", *, of_pipeline: bool = False) -> None:
        """Log a file as it is now, under `folder` of the artifacts of the stage or the pipeline."""
        if self._journal is not None:
            self._journal.append_artifact(path, folder, of_pipeline=of_pipeline)

    def log_dataset(self, name: str, *, digest: str, path: Place) -> None:
        """Link data that the stage reads or writes, by the hash of its content."""
        self._append("dataset", name=name, digest=digest, path=str(path))

    def log_model(self, name: str, *, digest: str, path: Path) -> None:
        """Link a model that the stage uses or makes, by the hash of its weights."""
        self._append("model", name=name, digest=digest, path=str(path))

    def set_tag(self, name: str, value: str) -> None:
        """Describe the run."""
        self._append("tag", name=name, value=value)

    def _append(self, kind: str, **content: Any) -> None:
        if self._journal is not None:
            self._journal.append(kind, **content)


def _as_floats(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in figures.items()}


@contextmanager
def open_tracker(
    stage: str, *, params: Mapping[str, Any], all_params: Mapping[str, Any] | None = None
) -> Iterator[Tracker]:
    """Open the run of a stage, below that of its pipeline; close it with how the stage ended.

    Args:
        stage: name of the stage, which becomes the name of the run.
        params: what the stage obeys, `section.key` to value.
        all_params: what the whole pipeline obeys; None: no more than the stage.

    Side effects: writes a journal in `.runs/tracking` of the project and starts the recorder, which
    is waited for at the end. Only the first of several training processes (RANK 0) logs.
    """
    if os.environ.get("CVG_TRACKING") == "off" or os.environ.get("RANK", "0") != "0":
        yield Tracker(None)
        return
    journal = _start_journal(stage, params, params if all_params is None else all_params)
    line = _find_or_start_recorder(journal.path)
    try:
        yield Tracker(journal)
    except BaseException as error:
        status = "KILLED" if isinstance(error, KeyboardInterrupt | Interrupted) else "FAILED"
        journal.append("tag", name="error", value=f"{type(error).__name__}: {error}"[:500])
        journal.append("end", status=status)
        raise
    else:
        journal.append("end", status="FINISHED")
    finally:
        journal.close()
        _finish_recorder(line, journal.path)


def _start_journal(stage: str, params: Mapping[str, Any], all_params: Mapping[str, Any]) -> Journal:
    root = project_root()
    name = f"{stage}-{os.getpid()}-{time.time_ns() // 1_000_000}.jsonl"
    journal = Journal(root / JOURNALS / name)
    every = {key: str(value) for key, value in all_params.items()}
    journal.append(
        "start",
        stage=stage,
        process=os.getpid(),
        root=str(root),
        uri=store_uri(root),
        params={key: str(value) for key, value in params.items()},
        all_params=every,
        group=asdict(group_of_stage(every)),
        run=run_of_stages(),
        tags={"process": process_name(os.getpid())},
    )
    return journal


def _find_or_start_recorder(journal: Path) -> Line | None:
    try:
        return find_recorder(journal, run_of_stages()) or start_recorder(
            journal, RECORDER_ENVIRONMENT | os.environ
        )
    except OSError as error:
        warn(f"the recorder did not start ({error}); the figures are kept in {journal}")
        return None


def _finish_recorder(line: Line | None, journal: Path) -> None:
    if line is None:
        return
    wrong = line.finish(SECONDS_TO_FINISH)
    if wrong is None:
        wrong = f"the recorder ended too soon; the figures are kept in {journal}"
    if wrong:
        warn(wrong)
