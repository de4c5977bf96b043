"""Device, precision, compilation and memory layout, as the environment says."""

import pytest
import torch
from torch import nn

from cvg.errors import UserError
from cvg.training.runtime import Runtime, chosen_runtime

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _no_wishes(monkeypatch):
    for name in ("CVG_DEVICE", "CVG_PRECISION", "CVG_COMPILE", "CVG_CHANNELS_LAST"):
        monkeypatch.delenv(name, raising=False)


def test_without_a_wish_it_is_float32_on_the_cpu():
    assert chosen_runtime() == Runtime(
        device=CPU, precision="fp32", compile=False, channels_last=False
    )


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
@pytest.mark.parametrize("trait", ["compile", "channels_last"])
def test_compilation_and_layout_are_wishes(monkeypatch, trait, wish):
    monkeypatch.setenv(f"CVG_{trait.upper()}", wish)
    assert chosen_runtime() == Runtime(device=CPU, **{trait: wish == "1"})


@pytest.mark.parametrize("channels_last", [False, True])
def test_kernels_and_what_they_give_are_laid_out_as_wished(channels_last):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.Conv2d(8, 4, 3))
    Runtime(device=CPU, channels_last=channels_last).prepare(model)
    found = [model[0].weight, model[2].weight, model(torch.zeros(2, 3, 9, 9))]
    for tensor in found:
        assert tensor.is_contiguous(memory_format=torch.channels_last) == channels_last


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CVG_PRECISION", "fp16"),
        ("CVG_PRECISION", "BF16"),
        ("CVG_COMPILE", "yes"),
        ("CVG_CHANNELS_LAST", "2"),
    ],
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


def test_what_changes_rounding_is_among_the_traits(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "one card")
    runtimes = [
        Runtime(device=CPU),
        Runtime(device=torch.device("cuda")),
        Runtime(device=CPU, precision="bf16"),
        Runtime(device=CPU, compile=True),
        Runtime(device=CPU, channels_last=True),
    ]
    assert len({str(runtime.traits()) for runtime in runtimes}) == len(runtimes)
    on_first, on_second = (Runtime(device=torch.device(f"cuda:{n}")) for n in (0, 1))
    assert on_first.traits() == on_second.traits()
    before = on_first.traits()
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "another card")
    assert on_first.traits() != before
