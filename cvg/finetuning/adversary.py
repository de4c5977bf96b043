"""The critic while the transformers learn from it: its own steps, and whether it is of use."""

import copy
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from cvg.conditions.batch import Conditions
from cvg.config import FinetuneParams
from cvg.critic.auc import area_under_curve
from cvg.critic.model import Critic
from cvg.finetuning.watch import LABEL, Watch, Weight
from cvg.tensors import Float, Tensor
from cvg.training.adamw import AdamW
from cvg.training.adversarial import followed, lecam_penalty, r1_penalty
from cvg.training.messages import warn
from cvg.training.runtime import Runtime

BETAS = (0.5, 0.9)
KEPT_SCORES = 512  # of each kind, for the area under the curve


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Clips as the critic sees them.

    Attributes:
        pictures: successive ones.
        conditions: what it is told of each clip.
        last_pair: whether only the last frame is in question, as one that follows the frame before.
    """

    pictures: Float[Tensor, "b t c h w"]
    conditions: Conditions
    last_pair: bool = False


class Adversary:
    """A critic that goes on learning, to tell real clips from those with an imagined frame.

    Attributes:
        critic: in training.
        weight: of its loss for the transformers.
        watch: whether it is of use.
    """

    def __init__(
        self,
        critic: Critic,
        params: FinetuneParams,
        weight: Weight,
        *,
        runtime: Runtime,
        learning_rate: float,
    ) -> None:
        """Begin with a pretrained critic, which is left as it is.

        Args:
            critic: on its device.
            params: of the regularizers.
            weight: of its loss for the transformers; lowered where it wins for long.
            runtime: precision of the critic, and the ranks, each of which has a part of the clips.
            learning_rate: of the critic.
        """
        self._pretrained = copy.deepcopy(critic.state_dict())
        self._params = params
        self.critic = copy.deepcopy(critic).eval()  # what it drops in pretraining is shown here
        self.weight = weight
        self.watch = Watch()
        self._runtime, self._ranks = runtime, runtime.ranks
        self._learning_rate = learning_rate
        self._begin()

    def learn(
        self,
        real: Shown,
        other: Shown,
    ) -> dict[str, Tensor]:
        """Take one step on real and other clips; give unweighted figures.

        Numbers that are not finite change no weight: the critic is begun anew, a few times.
        """
        params = self._params
        self.critic.requires_grad_(True)
        pictures = real.pictures.detach().requires_grad_(params.r1_weight > 0)
        with _twice_differentiable(params.r1_weight > 0):
            of_real = self._scores(replace(real, pictures=pictures))
            of_other = self._scores(replace(other, pictures=other.pictures.detach()))
            figures = {"critic": 0.5 * (F.softplus(-of_real).mean() + F.softplus(of_other).mean())}
            loss = figures["critic"]
            if params.r1_weight > 0:
                figures["r1"] = r1_penalty(of_real, pictures)
                loss = loss + 0.5 * params.r1_weight * figures["r1"]
            history = followed(
                self._history, of_real.detach(), of_other.detach(), ranks=self._ranks
            )
            if params.lecam_weight > 0:
                figures["lecam"] = lecam_penalty(
                    of_real,
                    of_other,
                    mean_real=history[0] / history[2],
                    mean_generated=history[1] / history[2],
                )
                loss = loss + params.lecam_weight * figures["lecam"]
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
        self._ranks.average_gradients(self.critic.parameters())
        loss = self._ranks.mean(loss)
        norm = nn.utils.clip_grad_norm_(self.critic.parameters(), params.grad_clip)
        if not torch.isfinite(loss + norm):
            found = f"its loss is {loss.item():.3g}, the norm of its gradient {norm.item():.3g}"
            self._heed(self.watch.broken(), found)
            return {}
        self._optimizer.step()
        self._history = history
        if not real.last_pair:
            self._keep(self._ranks.gathered(of_real), self._ranks.gathered(of_other))
        figures = {name: value.detach() for name, value in figures.items()}
        if len(self._real):
            figures["critic_auc"] = loss.new_tensor(self._area()).detach()
        return figures

    def loss(self, other: Shown) -> Float[Tensor, ""]:
        """Give what the transformers are to minimise: the log-odds of being told from real.

        It is the loss that does not saturate, of Goodfellow et al. 2014, arXiv:1406.2661, sec. 3.
        """
        self.critic.requires_grad_(False)
        return F.softplus(-self._scores(other)).mean()

    def look(self) -> float:
        """Give the area under the curve of the last scores, NaN without any; heed what it says."""
        area = self._area()
        if len(self._real):
            self._heed(self.watch.look(area), f"the area under its curve is {area:.2f} for long")
        return area

    def state_dict(self) -> dict[str, Any]:
        """Give all that a resumed run needs."""
        moments = self._optimizer.state_dict()["state"]
        return {
            "critic": dict(self.critic.state_dict()),
            "optimizer": {str(number): moments[number] for number in moments},
            "watch": self.watch.state_dict(),
            "history": self._history,
            "real": self._real,
            "other": self._other,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; it is copied."""
        state = copy.deepcopy(dict(state))
        self.critic.load_state_dict(state["critic"])
        moments = {int(number): tensors for number, tensors in state["optimizer"].items()}
        self._optimizer.load_state_dict(self._optimizer.state_dict() | {"state": moments})
        self.watch.load_state_dict(state["watch"])
        device = self._history.device
        self._history, self._real, self._other = (
            state[name].to(device) for name in ("history", "real", "other")
        )

    def _scores(self, shown: Shown) -> Float[Tensor, "b"]:
        with self._runtime.autocast():
            judgement = self.critic(shown.pictures, shown.conditions)
        of_last = shown.last_pair and judgement.pairs.shape[1]
        return (judgement.pairs[:, -1] if of_last else judgement.clips).float()

    def _area(self) -> float:
        return area_under_curve(self._real.cpu().numpy(), self._other.cpu().numpy())

    def _begin(self) -> None:
        """Begin from the pretrained weights."""
        self.critic.load_state_dict(self._pretrained)
        self._optimizer = AdamW(self.critic.parameters(), lr=self._learning_rate, betas=BETAS)
        self._history, self._real, self._other = (
            torch.zeros(size, device=self.critic.verdict.device) for size in (3, 0, 0)
        )

    def _heed(self, advice: str, why: str) -> None:
        if advice == "lower the weight":
            self.weight.lower(f"the critic tells all clips apart: {why}")
        elif advice == "restart the critic":
            warn(f"{LABEL}: the critic is of no use: {why}; it begins anew, as pretrained")
            self._begin()
        elif advice == "stop":
            warn(
                f"{LABEL}: the critic is still of no use after {self.watch.restarts} new "
                f"beginnings: {why}; the run stops, the last good weights are kept"
            )

    def _keep(self, real: Float[Tensor, "b"], other: Float[Tensor, "b"]) -> None:
        self._real = torch.cat([self._real, real])[-KEPT_SCORES:]
        self._other = torch.cat([self._other, other])[-KEPT_SCORES:]


def _twice_differentiable(needed: bool) -> AbstractContextManager[Any]:
    """Give the context in which attention has a second derivative, which R1 needs."""
    return sdpa_kernel(SDPBackend.MATH) if needed else nullcontext()
