"""Whether a critic is still of use: one that wins always or never has nothing to teach."""

from dataclasses import dataclass
from typing import Any, Literal

from cvg.training.messages import warn

WON = 0.99  # area under the curve from which on a critic tells all apart
LOST = 0.05  # largest distance from 0.5 at which it tells nothing
LONG = 3  # looks in a row after which something is done
MOST_RESTARTS = 2

LABEL = "finetune"

Advice = Literal["go on", "lower the weight", "restart the critic", "stop"]


@dataclass
class Watch:
    """Follows the areas under the curve of a critic, look after look.

    A critic that wins for long gives a gradient that is no help: the weight is lowered. One that
    tells nothing for long is begun anew from its pretrained weights, and so is one whose numbers
    are not finite; if that does not help either, fine-tuning stops.
    """

    won: int = 0  # looks in a row
    lost: int = 0
    restarts: int = 0
    stopped: bool = False

    def look(self, area: float) -> Advice:
        """Give advice after a look at which real clips were told from others by this area."""
        self.won = self.won + 1 if area >= WON else 0
        self.lost = self.lost + 1 if abs(area - 0.5) <= LOST else 0
        if self.won >= LONG:
            self.won = 0
            return "lower the weight"
        if self.lost >= LONG:
            return self._restart()
        return "go on"

    def broken(self) -> Advice:
        """Give advice after a number of the critic that is not finite."""
        return self._restart()

    def _restart(self) -> Advice:
        self.won = self.lost = 0
        if self.restarts >= MOST_RESTARTS:
            self.stopped = True
            return "stop"
        self.restarts += 1
        return "restart the critic"

    def state_dict(self) -> dict[str, Any]:
        """Give the counts."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        vars(self).update(state)


class Weight:
    """A weight in a loss that is lowered by what goes wrong."""

    def __init__(self, value: float, *, back_off: float) -> None:
        """Begin at a value, which `back_off` is the factor of."""
        self.value = self._first = value
        self._back_off = back_off

    @property
    def share(self) -> float:
        """Give what is left of the first value, as a share of it."""
        return self.value / self._first if self._first else 0.0

    def lower(self, why: str) -> None:
        """Lower it, and say so; what is 0 stays so."""
        if not self.value:
            return
        self.value *= self._back_off
        warn(f"{LABEL}: {why}; the weight of the adversary is lowered to {self.value:.3g}")

    def state_dict(self) -> dict[str, Any]:
        """Give the value."""
        return {"value": self.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a value."""
        self.value = state["value"]
