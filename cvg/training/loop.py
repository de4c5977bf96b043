"""The one training loop, shared by VQGAN and transformers."""

import copy
import csv
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from cvg.config import TrainingParams
from cvg.errors import UserError
from cvg.files import replacing_file
from cvg.progress import Steps
from cvg.tensors import Float, Tensor
from cvg.training.average import WeightAverage
from cvg.training.schedule import learning_rate_factor

STEPS_BETWEEN_ROWS = 20


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a training run is given besides its parameters and its data."""

    learning_rate: float  # the peak, after the warm-up
    seed: int  # root seed
    device: torch.device
    log: Callable[[Mapping[str, float], int], None]  # told of figures and step


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What one training step gives to the loop."""

    loss: Float[Tensor, ""]  # to be minimised
    figures: Mapping[str, Tensor]  # unweighted terms and other scalars to log


@dataclass
class History:
    """Figures by step, one row for each time they were looked at."""

    rows: list[dict[str, float]] = field(default_factory=list)

    def write_csv(self, path: Path) -> None:
        """Write the rows as CSV; a figure that a row does not have is left empty."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with replacing_file(path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, names, lineterminator="\n")
            writer.writeheader()
            for row in self.rows:
                writer.writerow({name: _as_text(value) for name, value in row.items()})


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The outcome of a run: the model holds the best averaged weights."""

    best_step: int
    best: dict[str, float]  # validation figures at that step
    history: History


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to train and how to judge it."""

    label: str  # for the progress line
    model: nn.Module
    train_step: Callable[[int], StepResult]  # by step number, which also keys the randomness
    validate: Callable[[nn.Module], dict[str, float]]  # on the averaged weights
    objective: str  # the validation figure that the best weights minimise


def train(job: Job, params: TrainingParams, around: Surroundings) -> Trained:
    """Train with AdamW, and leave the best averaged weights in the model.

    Args:
        job: model, step, validation.
        params: steps, warm-up, decay, clipping, averaging, validation period.
        around: learning rate, and whom to tell.

    Raises:
        UserError: a loss or a gradient is not finite.
    """
    model = job.model
    optimizer = torch.optim.AdamW(
        parameter_groups(model, weight_decay=params.weight_decay),
        lr=around.learning_rate,
        betas=(0.9, 0.99),
    )
    average = WeightAverage(model, decay=params.ema_decay)
    best = Best(objective=job.objective)
    recorder = Recorder(around.log)
    with Steps(job.label, total=params.steps) as progress:
        for step in range(params.steps):
            rate = around.learning_rate * learning_rate_factor(
                step, warmup_steps=params.warmup_steps, steps=params.steps
            )
            for group in optimizer.param_groups:
                group["lr"] = rate
            model.train()
            result = job.train_step(step)
            optimizer.zero_grad(set_to_none=True)
            result.loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), params.grad_clip)
            _refuse_non_finite(result, norm, step=step, label=job.label)
            optimizer.step()
            average.update(model)
            recorder.add(result, norm, rate)
            done = step + 1
            if done % params.validate_every == 0 or done == params.steps:
                figures = job.validate(average.model)
                best.offer(average.model, figures, step=done)
                recorder.write(done, {f"held_out_{name}": v for name, v in figures.items()})
            elif done % STEPS_BETWEEN_ROWS == 0:
                recorder.write(done)
            progress.advance(note=recorder.note)
    model.load_state_dict(best.state)
    model.eval()
    return Trained(best_step=best.step, best=best.figures, history=recorder.history)


def parameter_groups(model: nn.Module, *, weight_decay: float) -> list[dict[str, object]]:
    """Decay matrices, kernels and tables; biases, norms and single vectors are left alone."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    others = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


class Best:
    """The averaged weights with the lowest objective so far."""

    def __init__(self, *, objective: str) -> None:
        """Watch the validation figure called `objective`."""
        self.objective = objective
        self.value = math.inf
        self.step = 0
        self.figures: dict[str, float] = {}
        self.state: dict[str, Tensor] = {}

    def offer(self, model: nn.Module, figures: dict[str, float], *, step: int) -> None:
        """Keep a copy of `model` if its figures are better than all before."""
        value = figures[self.objective]
        if self.state and not value < self.value:
            return
        self.value, self.step, self.figures = value, step, figures
        self.state = copy.deepcopy(model.state_dict())


class Recorder:
    """Averages the figures of steps between two rows of the history."""

    def __init__(self, log: Callable[[Mapping[str, float], int], None]) -> None:
        """Record rows, and tell `log` of each."""
        self.history = History()
        self.note = ""
        self._log = log
        self._sums: dict[str, Tensor] = {}
        self._counts: Counter[str] = Counter()  # a figure may begin between two rows
        self._rate = 0.0

    def add(self, result: StepResult, gradient_norm: Tensor, rate: float) -> None:
        """Add the figures of one step."""
        figures = {"loss": result.loss, "gradient_norm": gradient_norm, **result.figures}
        for name, value in figures.items():
            self._sums[name] = self._sums.get(name, torch.zeros(())) + value.detach().cpu()
            self._counts[name] += 1
        self._rate = rate

    def write(self, step: int, validation: Mapping[str, float] | None = None) -> None:
        """Close a row: means since the last one, and validation figures where there are any."""
        row = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        row |= {"learning_rate": self._rate} | dict(validation or {})
        self.note = f"loss {row['loss']:.4f}"
        self.history.rows.append({"step": step} | row)
        self._log(row, step)
        self._sums, self._counts = {}, Counter()


def _as_text(value: float) -> str:
    """Six digits are enough for a figure, but not for a step number."""
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def _refuse_non_finite(result: StepResult, norm: Tensor, *, step: int, label: str) -> None:
    if torch.isfinite(norm) and torch.isfinite(result.loss):
        return
    terms = ", ".join(f"{name} {value.item():.3g}" for name, value in result.figures.items())
    raise UserError(
        f"{label}: the loss or its gradient at step {step} is not finite "
        f"(loss {result.loss.item():.3g}; {terms}). "
        "Lower lr in params.yaml, or check the data; nothing was written"
    )
