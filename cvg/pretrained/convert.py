"""From the arrays of a carrier, or torchvision's state, to the tensors that the store keeps."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from einops import rearrange

from cvg.errors import UserError
from cvg.pretrained.catalog import I3D, LPIPS_TRUNKS

Arrays = dict[str, np.ndarray]

# Index of each convolution in torchvision's `features`, in the order of the carrier's Conv_0, ...
CONVOLUTIONS = {
    LPIPS_TRUNKS["alex"]: (0, 3, 6, 8, 10),
    LPIPS_TRUNKS["vgg"]: (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
}
_FLAX_MODULE = {LPIPS_TRUNKS["alex"]: "AlexNet_0", LPIPS_TRUNKS["vgg"]: "VGG16_0"}


def convert_carrier_arrays(tree: Mapping[str, Any], name: str) -> Arrays:
    """Rename the arrays of a carrier and bring them into torch's order of axes."""
    return _convert_i3d(tree) if name == I3D else _convert_trunk(tree[_FLAX_MODULE[name]], name)


def _convert_i3d(tree: Mapping[str, Any]) -> Arrays:
    """Give `<unit>.weight`, `.bias`, and `.mean` and `.var` of the batch norm where it has one."""
    arrays: Arrays = {}
    for path, array in _leaves(tree["params"]):
        unit, _, leaf = path
        kind = "weight" if leaf == "kernel" else "bias"
        if kind == "weight":
            array = rearrange(array, "t h w i o -> o i t h w")
        arrays[f"{_dotted(unit)}.{kind}"] = np.ascontiguousarray(array)
    for path, array in _leaves(tree["batch_stats"]):
        unit, _, leaf = path
        arrays[f"{_dotted(unit)}.{leaf}"] = np.ascontiguousarray(array.reshape(-1))
    return arrays


def _convert_trunk(tree: Mapping[str, Any], name: str) -> Arrays:
    arrays: Arrays = {}
    for order, index in enumerate(CONVOLUTIONS[name]):
        convolution = tree[f"Conv_{order}"]
        kernel = rearrange(convolution["kernel"], "h w i o -> o i h w")
        arrays[f"features.{index}.weight"] = np.ascontiguousarray(kernel)
        arrays[f"features.{index}.bias"] = np.ascontiguousarray(convolution["bias"])
    return arrays


def select_trunk(state: Mapping[str, np.ndarray], name: str, origin: str) -> Arrays:
    """Keep the convolutions of torchvision's AlexNet or VGG16, drop its classifier.

    Raises:
        UserError: a convolution is missing.
    """
    keys = [f"features.{i}.{kind}" for i in CONVOLUTIONS[name] for kind in ("weight", "bias")]
    missing = [key for key in keys if key not in state]
    if missing:
        raise UserError(
            f"{origin}: has no {missing[0]}; expected torchvision's state dict for {name}"
        )
    return {key: np.ascontiguousarray(state[key]) for key in keys}


def _leaves(tree: Mapping[str, Any], prefix: tuple[str, ...] = ()) -> Iterator[tuple[Any, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*prefix, key))
        else:
            *unit, kind = prefix
            yield ("/".join(unit), kind, key), value


def _dotted(unit: str) -> str:
    return unit.replace("/", ".")
