import numpy as np
import pytest
import torch

from benchmarks.metrics import reference_lpips
from cvg.errors import UserError
from cvg.pretrained import lpips as ours
from cvg.pretrained.lpips import load_lpips

pytestmark = pytest.mark.weights

GOLDEN = {
    "black and white": (0.813954, 0.453837),
    "noise": (0.130350, 0.313374),
    "ramp and its mirror": (0.409913, 0.406969),
    "ramp and its transpose": (0.510936, 0.517032),
}


def pair(name):
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 64, 64)
    noise = [np.random.RandomState(i).randint(0, 256, (1, 3, 64, 64)) / 255 for i in (0, 1)]
    pictures = {
        "black and white": (torch.zeros(1, 3, 64, 64), torch.ones(1, 3, 64, 64)),
        "noise": tuple(torch.from_numpy(values).float() for values in noise),
        "ramp and its mirror": (ramp, ramp.flip(-1)),
        "ramp and its transpose": (ramp, ramp.transpose(-1, -2)),
    }
    a, b = pictures[name]
    return 2 * a - 1, 2 * b - 1


@pytest.mark.parametrize("name", GOLDEN)
def test_distances_are_those_of_the_published_program(lpips_network, name):
    expected = GOLDEN[name][("alex", "vgg").index(lpips_network.net)]
    assert lpips_network(*pair(name)).item() == pytest.approx(expected, abs=1e-5)


def test_distances_and_gradients_equal_those_of_the_package_bit_by_bit(lpips_network):
    theirs = reference_lpips(lpips_network)
    found = []
    for network in (lpips_network, theirs):
        a, b = pair("noise")
        a = a.clone().requires_grad_()
        distance = network(a, b).flatten()
        distance.sum().backward()
        found.append((distance, a.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


def test_identical_pictures_have_distance_zero_and_each_pair_its_own(lpips_network):
    (black, white), (ramp, mirror) = pair("black and white"), pair("ramp and its mirror")
    together = lpips_network(torch.cat([black, ramp, ramp]), torch.cat([white, mirror, ramp]))
    torch.testing.assert_close(together[0], lpips_network(black, white)[0])
    torch.testing.assert_close(together[1], lpips_network(ramp, mirror)[0])
    assert together[2] == 0


def test_gradients_reach_the_pictures_and_no_weight(lpips_network):
    a, b = pair("noise")
    a = a.clone().requires_grad_()
    lpips_network(a, b).sum().backward()
    assert a.grad is not None
    assert a.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in lpips_network.parameters())


def test_pictures_below_32_pixels_are_refused_and_32_are_enough(lpips_network):
    small = torch.zeros(1, 3, 40, 31)
    with pytest.raises(ValueError, match="at least 32x32 pixels, got 40x31"):
        lpips_network(small, small)
    enough = torch.zeros(1, 3, 32, 32)
    assert torch.isfinite(lpips_network(enough, enough + 1)).all()


def test_loading_warns_of_nothing_and_leaves_the_random_generator_alone(lpips_network):
    before = torch.get_rng_state()
    load_lpips(lpips_network.net)
    assert torch.equal(torch.get_rng_state(), before)


def test_heads_of_another_hash_are_refused(lpips_network, monkeypatch):
    monkeypatch.setitem(ours._HEAD_SHA256, lpips_network.net, "0" * 64)
    with pytest.raises(UserError, match=r"not the heads of LPIPS 0\.1"):
        load_lpips(lpips_network.net)
