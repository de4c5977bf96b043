"""The pretrained networks, where the weights store has them."""

import pytest

from cvg.pretrained.catalog import I3D, LPIPS_TRUNKS
from cvg.pretrained.i3d import load_i3d
from cvg.pretrained.lpips import load_lpips
from cvg.pretrained.store import locate


def need(name):
    if locate(name) is None:
        pytest.skip(f"the weights store has no {name}; run `cvg weights fetch {name}`")


@pytest.fixture(scope="session")
def i3d():
    need(I3D)
    return load_i3d()


@pytest.fixture(scope="session", params=["alex", "vgg"])
def lpips_network(request):
    need(LPIPS_TRUNKS[request.param])
    return load_lpips(request.param)
