"""What a journal says, as MLflow wants it: runs, parents, figures, datasets, models, files."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cvg.tracking.journal import Event
from cvg.tracking.store import store_lock

if TYPE_CHECKING:
    from mlflow import MlflowClient

# MLflow takes at most 1000 items in a batch, of these at most 100 parameters.
METRICS_A_BATCH = 800
PARAMS_A_BATCH = 100
DIGEST_LETTERS = 32  # of 64: MLflow has room for 36
PIPELINE = "pipeline"  # value of the tag `stage` of the runs that stages hang below
CONTENT = "content"  # tag of a model: the hash of its weights


class Delivery:
    """The run of one stage in MLflow, below the run of its pipeline."""

    def __init__(
        self,
        client: "MlflowClient",
        experiment_id: str,
        start: Event,
        *,
        journal: str,
        tags: Mapping[str, str],
    ) -> None:
        """Make the run, and that of the pipeline if this is its first stage.

        Args:
            client: of the store.
            experiment_id: where the runs belong.
            start: the first event of the journal.
            journal: name of its file; what had arrived of it before is replaced.
            tags: what else describes the run.
        """
        self._client, self._experiment_id, self._stage = client, experiment_id, start["stage"]
        with store_lock(start["uri"]):
            for run in client.search_runs([experiment_id], f"tags.journal = '{journal}'"):
                client.delete_run(run.info.run_id)
            self._parent_id = self._find_parent(start, tags)
        run = client.create_run(
            experiment_id,
            start_time=start["time_ms"],
            tags={
                "stage": start["stage"],
                "journal": journal,
                "pipeline": start["group"]["key"],
                "mlflow.parentRunId": self._parent_id,
                **start["tags"],
                **tags,
            },
            run_name=start["stage"],
        )
        self.run_id = run.info.run_id
        self._log_params(self.run_id, start["params"])

    def deliver(self, events: Sequence[Event]) -> None:
        """Send events, figures in as few calls as MLflow admits."""
        metrics = [event for event in events if event["kind"] == "metrics"]
        self._log_metrics(self.run_id, metrics)
        finals = [event for event in metrics if event["is_final"]]
        self._log_metrics(self._parent_id, finals, prefix=f"{self._stage}/")
        self._log_metrics(self._parent_id, [e for e in events if e["kind"] == "pipeline_metrics"])
        for event in events:
            self._deliver_other(event)

    def close(self, status: str) -> None:
        """End the run of the stage, and that of the pipeline until its next stage begins."""
        self._client.set_terminated(self.run_id, status)
        self._client.set_terminated(self._parent_id, status)

    def _find_parent(self, start: Event, tags: Mapping[str, str]) -> str:
        group = start["group"]
        found = self._client.search_runs(
            [self._experiment_id], f"tags.pipeline = '{group['key']}' and tags.stage = '{PIPELINE}'"
        )
        if found:
            self._client.update_run(found[0].info.run_id, status="RUNNING")
            return found[0].info.run_id
        parent = self._client.create_run(
            self._experiment_id,
            start_time=start["time_ms"],
            tags={"stage": PIPELINE, "pipeline": group["key"], **tags},
            run_name=group["name"],
        )
        self._log_params(parent.info.run_id, start["all_params"])
        return parent.info.run_id

    def _deliver_other(self, event: Event) -> None:
        if event["kind"] == "artifact":
            run_id = self._parent_id if event["of_pipeline"] else self.run_id
            self._client.log_artifact(run_id, event["path"], event["folder"] or None)
        elif event["kind"] == "tag":
            self._client.set_tag(self.run_id, event["name"], event["value"])
        elif event["kind"] == "dataset":
            self._log_dataset(event)
        elif event["kind"] == "model":
            self._log_model(event)

    def _log_dataset(self, event: Event) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            name=event["name"],
            digest=event["digest"][:DIGEST_LETTERS],
            source_type="local",
            source=json.dumps({"uri": event["path"]}),
        )
        tag = InputTag(key="mlflow.data.context", value=self._stage)
        self._client.log_inputs(self.run_id, datasets=[DatasetInput(dataset, [tag])])

    def _log_model(self, event: Event) -> None:
        """Link a model by the hash of its weights; make it known where it is new."""
        from mlflow.entities import LoggedModelInput

        found = self._client.search_logged_models(
            [self._experiment_id], filter_string=f"tags.{CONTENT} = '{event['digest']}'"
        )
        if found:
            self._client.log_inputs(self.run_id, models=[LoggedModelInput(found[0].model_id)])
            return
        model = self._client.create_logged_model(
            self._experiment_id,
            name=event["name"],
            source_run_id=self.run_id,
            tags={CONTENT: event["digest"], "path": event["path"]},
            model_type="cvg",
        )
        self._client.finalize_logged_model(model.model_id, "READY")

    def _log_metrics(self, run_id: str, events: Sequence[Event], *, prefix: str = "") -> None:
        from mlflow.entities import Metric

        metrics = [
            Metric(prefix + name, value, event["time_ms"], event["step"])
            for event in events
            for name, value in event["figures"].items()
        ]
        for batch in _batches(metrics, METRICS_A_BATCH):
            self._client.log_batch(run_id, metrics=batch)

    def _log_params(self, run_id: str, params: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        for batch in _batches([Param(*item) for item in params.items()], PARAMS_A_BATCH):
            self._client.log_batch(run_id, params=batch)


def _batches(items: list[Any], size: int) -> Iterator[list[Any]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]
