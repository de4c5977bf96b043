"""Toys for the tests of this folder."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

# pytest's importlib mode gives test files no common package to import from.
TOYS = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "toys.py")))


@pytest.fixture(scope="session")
def toys():
    """The module tests/toys.py."""
    return TOYS


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """Random codes of the toy segments."""
    return TOYS.write_codes(tmp_path_factory.mktemp("finetune") / "codes")


@pytest.fixture
def models(store):
    """The toy VQGAN and transformers, in single precision."""
    from cvg.codes.layout import layout_of
    from cvg.sampling.models import Models
    from cvg.transformer.store import TrainedTransformer

    return Models(
        vqgan=TOYS.toy_vqgan().requires_grad_(False),
        vqgan_hash=store.vqgan_hash,
        transformers={
            level: TrainedTransformer(
                model=TOYS.toy_transformer(layout_of(level, TOYS.GRIDS)).float(),
                conditioning=TOYS.CONDITIONING,
                vqgan_hash=store.vqgan_hash,
            )
            for level in ("top", "bottom")
        },
    )


@pytest.fixture(params=["codes"])
def critic(request, models):
    """An untrained critic of random weights; some tests ask for one of pixels too."""
    from cvg.critic.model import Critic
    from cvg.critic.sight import Sight
    from cvg.critic.store import TrainedCritic
    from cvg.critic.train import critic_shape

    # Without dropout, whose masks come from the global generator.
    params = TOYS.toy_params().critic.model_copy(update={"input": request.param, "dropout": 0.0})
    sight = Sight(vqgan=models.vqgan, input=request.param)
    model = Critic(critic_shape(params, sight, TOYS.CONDITIONING))
    TOYS.randomise(model, 3)
    return TrainedCritic(
        model=model.eval().requires_grad_(False),
        input=request.param,
        conditioning=TOYS.CONDITIONING,
        vqgan_hash=models.vqgan_hash,
    )


@pytest.fixture
def around():
    """A machine, and nobody to tell."""
    from cvg.training.loop import Surroundings
    from cvg.training.runtime import Runtime

    return Surroundings(
        learning_rate=1e-3,
        seed=0,
        runtime=Runtime(device=torch.device("cpu")),
        log=lambda row, step: None,
    )


@pytest.fixture
def settings():
    """The toy parameters of fine-tuning, with changes."""
    from cvg.finetuning.train import Settings

    def settings(**changes):
        params = TOYS.toy_params()
        return Settings(
            finetune=params.finetune.model_copy(update={"enabled": True} | changes),
            transformer=params.transformer,
            draw=params.sample,
        )

    return settings
