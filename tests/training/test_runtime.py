"""Device, precision and compilation, as the environment says."""

import pytest
import torch

from cvg.errors import UserError
from cvg.training.runtime import Runtime, chosen_runtime

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _no_wishes(monkeypatch):
    for name in ("CVG_DEVICE", "CVG_PRECISION", "CVG_COMPILE"):
        monkeypatch.delenv(name, raising=False)


def test_without_a_wish_it_is_float32_on_the_cpu():
    assert chosen_runtime() == Runtime(device=CPU, precision="fp32", compile=False)


@pytest.mark.parametrize("wish", ["", "auto", "fp32", "bf16"])
def test_precision_on_the_cpu(monkeypatch, wish):
    monkeypatch.setenv("CVG_PRECISION", wish)
    assert chosen_runtime().precision == ("bf16" if wish == "bf16" else "fp32")


@pytest.mark.parametrize("is_supported", [True, False])
def test_auto_is_bf16_on_cuda_devices_that_support_it(monkeypatch, is_supported):
    monkeypatch.setattr("cvg.training.runtime.chosen_device", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: is_supported)
    assert chosen_runtime().precision == ("bf16" if is_supported else "fp32")


@pytest.mark.parametrize("wish", ["0", "1"])
def test_compilation_is_a_wish(monkeypatch, wish):
    monkeypatch.setenv("CVG_COMPILE", wish)
    assert chosen_runtime().compile == (wish == "1")


@pytest.mark.parametrize(
    ("name", "value"),
    [("CVG_PRECISION", "fp16"), ("CVG_PRECISION", "BF16"), ("CVG_COMPILE", "yes")],
)
def test_other_values_are_refused(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=f"{name}={value}: expected one of"):
        chosen_runtime()


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", "float32"), ("bf16", "bfloat16")])
def test_products_have_the_precision_and_weights_do_not(precision, dtype):
    layer = torch.nn.Linear(4, 4)
    with Runtime(device=CPU, precision=precision).autocast():
        product = layer(torch.ones(2, 4))
    assert product.dtype == getattr(torch, dtype)
    product.float().sum().backward()
    assert layer.weight.dtype == layer.weight.grad.dtype == torch.float32
    assert layer(torch.ones(2, 4)).dtype == torch.float32


def test_what_changes_rounding_is_among_the_traits():
    runtimes = [
        Runtime(device=CPU),
        Runtime(device=torch.device("cuda")),
        Runtime(device=CPU, precision="bf16"),
        Runtime(device=CPU, compile=True),
    ]
    assert len({str(runtime.traits()) for runtime in runtimes}) == len(runtimes)
    same = Runtime(device=torch.device("cuda:1")).traits()
    assert same == Runtime(device=torch.device("cuda:0")).traits()
