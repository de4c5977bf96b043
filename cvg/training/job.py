"""What the training loop is given, and what it gives back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import nn

from cvg.tensors import Tensor
from cvg.training.checkpoint import Checkpoints
from cvg.training.history import History, Log, StepResult
from cvg.training.runtime import Runtime
from cvg.training.strategy import WHOLE

StoppedBy = Literal["steps", "time", "patience", "job"]


@runtime_checkable
class Stateful(Protocol):
    """What a checkpoint can hold."""

    def state_dict(self) -> dict[str, Any]:
        """Give all that `load_state_dict` needs."""
        ...

    def load_state_dict(self, state: dict[str, Any], /) -> Any:
        """Go on from a state."""
        ...


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a training run is given besides its parameters and its data."""

    learning_rate: float  # the peak, after the warm-up
    seed: int  # root seed
    runtime: Runtime
    log: Log
    checkpoints: Checkpoints | None = None  # None: an interrupted run is lost

    @property
    def device(self) -> torch.device:
        """Where tensors live."""
        return self.runtime.device


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The outcome of a run: the model holds the best averaged weights."""

    best_step: int
    best: dict[str, float]  # validation figures at that step
    history: History
    steps: int  # done in all
    stopped_by: StoppedBy
    seconds: float  # of training and validation, those before an interruption included
    resumed_from: int  # step that an earlier run had reached; 0: none

    def summary(self) -> dict[str, int | str | dict[str, float]]:
        """Give what is kept beside the weights; it says nothing of interruptions and of time."""
        return {
            "best_step": self.best_step,
            "steps": self.steps,
            "stopped_by": self.stopped_by,
            "held_out": self.best,
        }


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to train and how to judge it.

    Attributes:
        label: for the progress line and messages.
        model: what is trained.
        train_step: gives the loss of one part of a step, by number of the step and of the part,
            0 to `accumulate` - 1; these key its randomness. It calls the model within
            `Runtime.autocast`, and may raise NonFiniteError where a number is not finite.
        validate: measures the averaged weights.
        objective: the validation figure that the best weights minimise.
        matrices: gives those parameters of the model that are hidden matrices and kernels, which
            Muon can take. It is asked once the weights are spread over the ranks.
        layers: names of parts of the model, called one after the other, each once a pass.
        roots: names of those parts of the model that are called; "" for all of it.
        stateful: what else a checkpoint must hold, by name.
        looks: numbers of steps done after which to validate too, besides the period; 0 is before
            the first, so that the weights as they came may be the best.
        is_over: whether further steps are of no use; asked after each of them.
    """

    label: str
    model: nn.Module
    train_step: Callable[[int, int], StepResult]
    validate: Callable[[nn.Module], dict[str, float]]
    objective: str
    matrices: Callable[[], Sequence[Tensor]] = tuple
    layers: Sequence[str] = ()
    roots: Sequence[str] = WHOLE
    stateful: Mapping[str, Stateful] = field(default_factory=dict)
    looks: Sequence[int] = ()
    is_over: Callable[[], bool] = lambda: False
