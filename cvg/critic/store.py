"""A trained critic on disk, with all that is needed to use it."""

from dataclasses import asdict, dataclass
from pathlib import Path

from cvg.conditions.conditioning import Conditioning
from cvg.critic.model import Critic, CriticShape
from cvg.critic.sight import Input
from cvg.training.weights import load_weights, reading_config, save_model


@dataclass(frozen=True, kw_only=True)
class TrainedCritic:
    """A critic, what it looks at, what it is told, and the VQGAN through which it sees."""

    model: Critic
    input: Input
    conditioning: Conditioning
    vqgan_hash: str


def save_critic(folder: Path, trained: TrainedCritic) -> None:
    """Write the model into `folder`."""
    config = {
        "kind": "critic",
        "shape": asdict(trained.model.shape),
        "input": trained.input,
        "conditioning": asdict(trained.conditioning),
        "vqgan": trained.vqgan_hash,
    }
    save_model(folder, trained.model, config)


def load_critic(folder: Path) -> TrainedCritic:
    """Read a frozen critic, in evaluation mode.

    Raises:
        UserError: files are missing, damaged, or not of a critic.
    """
    with reading_config(folder, "critic", stage="train-critic") as config:
        critic = Critic(CriticShape(**config["shape"]))
        conditioning = Conditioning.from_json(config["conditioning"])
        seen, vqgan_hash = config["input"], config["vqgan"]
    load_weights(folder, critic)
    return TrainedCritic(
        model=critic.eval().requires_grad_(False),
        input=seen,
        conditioning=conditioning,
        vqgan_hash=vqgan_hash,
    )
