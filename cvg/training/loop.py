"""The one training loop, shared by VQGAN and transformers.

On a CPU and without `max_minutes`, the same code, parameters, data and machine settings give the
same weights to the bit, whether a run was interrupted and went on or not. With `max_minutes` the
learning rate follows the clock, and no two runs are the same; on a GPU, some sums have no fixed
order.

Several processes (cvg/training/group.py) take the same steps, and what follows from a figure, a
clock or a signal is the same for all; they agree with one process up to the order of sums.
"""

import math
import time
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors import SafetensorError
from torch import nn

from cvg.config import TrainingParams
from cvg.errors import UserError
from cvg.interrupts import Interrupted, deferred, pending
from cvg.progress import Steps
from cvg.tensors import Tensor
from cvg.training.average import WeightAverage
from cvg.training.bad_batches import BadBatches
from cvg.training.best import Best
from cvg.training.checkpoint import tensors_of
from cvg.training.finite import NonFiniteError
from cvg.training.history import Recorder, StepResult, in_words
from cvg.training.job import Job, Stateful, StoppedBy, Surroundings, Trained
from cvg.training.messages import tell, warn
from cvg.training.optimizer import Optimizer
from cvg.training.randomness import global_random_state, restore_global_random_state
from cvg.training.ranks import require_share
from cvg.training.schedule import learning_rate_factor
from cvg.training.strategy import make_strategy

__all__ = ["Job", "StepResult", "Surroundings", "Trained", "train"]

STEPS_BETWEEN_ROWS = 20


def train(job: Job, params: TrainingParams, around: Surroundings) -> Trained:
    """Train, and leave the best averaged weights in the model.

    A batch whose loss or gradient is not finite is not used. A run that finds a checkpoint goes on
    from there.

    Args:
        job: model, step, validation.
        params: steps, warm-up, decay, clipping, averaging, validation period.
        around: learning rate, machine, whom to tell, where to keep the state.

    Raises:
        UserError: too many losses or gradients are not finite, or no validation was finite.
    """
    around.runtime.prepare(job.model)
    return _Run(job, params, around).finish()


class _Run:
    """A run between its first and its last step."""

    def __init__(self, job: Job, params: TrainingParams, around: Surroundings) -> None:
        self.job, self.params, self.around = job, params, around
        self.ranks, self.strategy = around.runtime.ranks, make_strategy(around.runtime)
        require_share(params.batch_size, self.ranks, field=f"batch_size of {job.label}")
        self.average = WeightAverage(job.model, decay=params.ema_decay)
        self.strategy.spread(self.average.model, job.layers, roots=job.roots)
        precision = around.runtime.precision
        self.strategy.spread(job.model, job.layers, roots=job.roots, precision=precision)
        self.optimizer = Optimizer(job.model, job.matrices(), params, around.runtime, self.strategy)
        self.best = Best(objective=job.objective)
        self.recorder = Recorder(around.log)
        self.bad_batches = BadBatches(job.label)
        self.done = self.resumed_from = 0
        self._seconds_before, self._start = 0.0, time.monotonic()
        self._go_on()

    def finish(self) -> Trained:
        """Do all steps that are left."""
        stopped_by = self._why_stop()
        with Steps(self.job.label, total=self.params.steps) as progress, deferred():
            progress.advance(self.done)
            if 0 in self.job.looks and not self.recorder.history.rows:
                self._look()
            while stopped_by is None:
                self._step()
                stopped_by = self._why_stop()
                if stopped_by or self._is_look():
                    self._look()
                    stopped_by = stopped_by or self._why_stop()
                elif self.done % STEPS_BETWEEN_ROWS == 0:
                    self.recorder.write(self.done)
                progress.advance(note=self.recorder.note)
                signal = self.ranks.most(pending() or 0)
                if signal:
                    self._leave(signal)
        self._refuse_without_best()
        state = self.strategy.placed(self.best.state, like=self.job.model.state_dict())
        self.job.model.load_state_dict(state)
        self.strategy.unite(self.job.model)
        self.job.model.eval()
        return Trained(
            best_step=self.best.step,
            best=self.best.figures,
            history=self.recorder.history,
            steps=self.done,
            stopped_by=stopped_by,
            seconds=self._seconds(),
            resumed_from=self.resumed_from,
        )

    def _leave(self, signal: int) -> NoReturn:
        """Keep the state of this step, and end as a signal asked for."""
        then = "goes on from there" if self._save() else "begins anew, or from the last checkpoint"
        tell(
            f"{self.job.label}: stopped after step {self.done} of {self.params.steps}; "
            f"the same command {then}"
        )
        raise Interrupted(signal)

    def _step(self) -> None:
        rate = self._learning_rate()
        self.optimizer.set_learning_rate(rate)
        self.job.model.train()
        self.strategy.settle()
        self.optimizer.zero_grad()
        try:
            parts, norm = self._add_gradients()
        except NonFiniteError as error:
            self.recorder.skip()
            self.bad_batches.bad(self.done + 1, str(error), checkpoint=self._newest())
        else:
            self.bad_batches.good()
            self.optimizer.step()
            self.average.update(self.job.model)
            self.recorder.add(parts, norm, rate)
        self.done += 1

    def _add_gradients(self) -> tuple[list[StepResult], Tensor]:
        """Fill in the gradients, clipped; give the parts, and the norm before the clipping."""
        parts: list[StepResult] = []
        for part in range(self.params.accumulate):
            own = self.job.train_step(self.done, part)
            result = self._over_ranks(own)
            parts.append(result)
            if not torch.isfinite(result.loss):
                terms = in_words({"loss": result.loss, **result.figures})
                raise NonFiniteError(f"the loss is not finite ({terms})")
            (own.loss / self.params.accumulate).backward()
        self.strategy.average_gradients(self.job.model.parameters())
        norm = nn.utils.clip_grad_norm_(self.job.model.parameters(), self.params.grad_clip)
        norm = self.strategy.whole(norm)
        if not torch.isfinite(norm):
            raise NonFiniteError(f"the norm of the gradient is {norm.item():.3g}")
        return parts, norm

    def _over_ranks(self, result: StepResult) -> StepResult:
        """Give the means over the ranks, without what only the gradient needs."""
        loss, *figures = self.ranks.means([result.loss, *result.figures.values()])
        return StepResult(loss=loss, figures=dict(zip(result.figures, figures, strict=True)))

    def _learning_rate(self) -> float:
        return self.around.learning_rate * learning_rate_factor(
            self.done,
            warmup_steps=self.params.warmup_steps,
            steps=self.params.steps,
            progress=self._share_of_time(),
        )

    def _why_stop(self) -> StoppedBy | None:
        patience = self.params.patience
        if self.done >= self.params.steps:
            return "steps"
        if self.job.is_over():
            return "job"
        if patience is not None and self.best.looks_since >= patience:
            return "patience"
        if self._share_of_time() >= 1:
            return "time"
        return None

    def _share_of_time(self) -> float:
        """Give how much of `max_minutes` is over by the clock of the first rank; 0 without."""
        minutes = self.params.max_minutes
        return self.ranks.of_first(self._seconds() / (60 * minutes)) if minutes else 0.0

    def _is_look(self) -> bool:
        return self.done % self.params.validate_every == 0 or self.done in self.job.looks

    def _look(self) -> None:
        """Validate, write a row, keep the state; all ranks look, what the first one sees counts."""
        self.strategy.settle()
        try:
            figures = self.job.validate(self.average.model)
        except NonFiniteError as error:
            warn(f"{self.job.label}: the weights after step {self.done} are of no use: {error}")
            figures = {self.job.objective: math.nan}
        figures = self.ranks.of_first(figures)
        self.strategy.settle()
        self.best.offer(self.average.model, figures, step=self.done)
        self.recorder.write(self.done, {f"held_out_{name}": v for name, v in figures.items()})
        self._save()

    def _save(self) -> bool:
        """Let the first rank write a checkpoint; say whether it is there."""
        if self.around.checkpoints is None:
            return False
        state = self.strategy.kept(self._state())
        if not all(torch.isfinite(tensor).all() for tensor in tensors_of(state)):
            warn(
                f"{self.job.label}: weights or averages after step {self.done} are not finite; "
                "no checkpoint is written"
            )
            return False
        if self.ranks.number:
            return True
        try:
            self.around.checkpoints.save(self.done, state)
        except (OSError, SafetensorError) as error:
            warn(
                f"{self.job.label}: the checkpoint after step {self.done} cannot be written "
                f"({error}); the run goes on, but could not be resumed from here"
            )
            return False
        return True

    def _state(self) -> dict[str, Any]:
        state = {name: part.state_dict() for name, part in self._stateful().items()}
        return state | {
            "seconds": self._seconds(),
            "random": global_random_state(self.around.device),
        }

    def _go_on(self) -> None:
        """Take up the state of an interrupted run, if there is one."""
        found = self._newest_state()
        if found is None:
            return
        self.done, state = found
        self.resumed_from = self.done
        for name, part in self._stateful().items():
            part.load_state_dict(self.strategy.placed(state[name], like=part.state_dict()))
        self._seconds_before = state["seconds"]
        restore_global_random_state(state["random"], self.around.device)
        tell(
            f"{self.job.label}: goes on from step {self.done} of {self.params.steps} "
            "(an earlier run was interrupted)"
        )

    def _newest_state(self) -> tuple[int, dict[str, Any]] | None:
        """Read the checkpoint that the first rank finds, on all ranks."""
        checkpoints = self.around.checkpoints
        if checkpoints is None:
            return None
        found = None if self.ranks.number else checkpoints.latest()
        step = self.ranks.of_first(found[0] if found else None)
        return found if found or step is None else (step, checkpoints.at(step))

    def _stateful(self) -> dict[str, Stateful]:
        own: dict[str, Stateful] = {
            "model": self.job.model,
            "average": self.average,
            "optimizer": self.optimizer,
            "best": self.best,
            "recorder": self.recorder,
            "bad_batches": self.bad_batches,
        }
        return own | {f"job/{name}": part for name, part in self.job.stateful.items()}

    def _seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._start

    def _newest(self) -> Path | None:
        return self.around.checkpoints.newest() if self.around.checkpoints else None

    def _refuse_without_best(self) -> None:
        if self.best.state:
            return
        raise UserError(
            f"{self.job.label}: no validation gave a finite {self.job.objective}, so there are no "
            "best weights. Lower lr in params.yaml or check the held-out data. The stage wrote "
            "nothing; `dvc checkout` brings back what an earlier run wrote"
        )
