"""LPIPS, the learned perceptual distance of two pictures (Zhang et al. 2018, arXiv:1801.03924).

Trunk and heads are filled in from checked files: the trunk from the weights store, the heads,
version 0.1, from the `lpips` package. The package itself is not imported: it loads torchvision and
half of SciPy, which takes longer than torch and than scoring a small run. The tests compare the
two.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch
from einops import rearrange
from safetensors.torch import load_file
from torch import nn

from cvg.errors import UserError
from cvg.files import sha256_file
from cvg.pretrained.catalog import LPIPS_TRUNKS, entry
from cvg.pretrained.store import require
from cvg.pretrained.torch_files import read_torch_state
from cvg.tensors import Float, Tensor

Trunk = Literal["alex", "vgg"]

SMALLEST_SIZE = 32  # pixels; AlexNet's last pooling has nothing left below 31

_HEAD_SHA256 = {
    "alex": "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
    "vgg": "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
}

# ImageNet's mean and deviation of each colour, as the package rewrites them for [-1, 1].
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)

_EPSILON = 1e-10  # where a place has no activation at all

# Where the stages end whose activations are compared, each behind a ReLU: indices into the trunk.
_ENDS = {"alex": (2, 5, 8, 10, 12), "vgg": (4, 9, 16, 23, 30)}
_CHANNELS = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}
_VGG_DEPTHS = (2, 2, 3, 3, 3)  # convolutions of each stage


class Lpips(nn.Module):
    """LPIPS with frozen weights; gradients pass to the pictures.

    Keep it outside of a module that is trained and saved: its weights are not that module's.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, net: Trunk) -> None:
        """Make the network with random weights."""
        super().__init__()
        self.net: Trunk = net
        self.weights_sha256 = entry(LPIPS_TRUNKS[net]).sha256
        self.trunk = nn.Sequential(*(_alex_layers() if net == "alex" else _vgg_layers()))
        self.heads = nn.ModuleList(nn.Conv2d(c, 1, 1, bias=False) for c in _CHANNELS[net])
        self.register_buffer("shift", _by_colour(_SHIFT))
        self.register_buffer("scale", _by_colour(_SCALE))
        self.requires_grad_(False)

    def forward(
        self, a: Float[Tensor, "b 3 h w"], b: Float[Tensor, "b 3 h w"]
    ) -> Float[Tensor, "b"]:
        """Give the distance of each pair of pictures.

        Args:
            a: pictures in [-1, 1], at least 32 pixels high and wide.
            b: pictures to compare with, likewise.

        Raises:
            ValueError: the pictures are too small.
        """
        if min(a.shape[-2:]) < SMALLEST_SIZE:
            raise ValueError(
                f"LPIPS needs pictures of at least {SMALLEST_SIZE}x{SMALLEST_SIZE} pixels, "
                f"got {a.shape[-2]}x{a.shape[-1]}; raise extract.frame_size, or do without LPIPS"
            )
        stages = zip([*self._stages(a)], [*self._stages(b)], strict=True)
        squares = [(_unit(one) - _unit(other)) ** 2 for one, other in stages]
        distances = [
            head(square).mean((2, 3), keepdim=True)
            for head, square in zip(self.heads, squares, strict=True)
        ]
        return rearrange(reduce(torch.add, distances), "b 1 1 1 -> b")

    def activations(self, pictures: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h2 w2"]:
        """Give the last activations of the trunk, for pictures in [-1, 1]."""
        *_, last = self._stages(pictures)
        return last

    def _stages(self, pictures: Float[Tensor, "b 3 h w"]) -> Iterator[Float[Tensor, "b c h2 w2"]]:
        """Yield the activations at the end of each stage."""
        features, start = (pictures - self.shift) / self.scale, 0
        for end in _ENDS[self.net]:
            features = self.trunk[start:end](features)
            yield features
            start = end


def _unit(features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Scale the vector of channels at each place to length 1."""
    length = torch.sqrt(torch.sum(features**2, dim=1, keepdim=True))
    return features / (length + _EPSILON)


def _alex_layers() -> Iterator[nn.Module]:
    """Yield the layers of AlexNet up to the last ReLU (Krizhevsky, arXiv:1404.5997)."""
    kernels = ((11, 4, 2), (5, 1, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1))  # size, stride, padding
    before = 3
    for stage, (channels, (size, stride, padding)) in enumerate(
        zip(_CHANNELS["alex"], kernels, strict=True)
    ):
        if stage in (1, 2):
            yield nn.MaxPool2d(3, stride=2)
        yield nn.Conv2d(before, channels, size, stride=stride, padding=padding)
        yield nn.ReLU(inplace=True)
        before = channels


def _vgg_layers() -> Iterator[nn.Module]:
    """Yield the layers of VGG16 up to the last ReLU (Simonyan & Zisserman, arXiv:1409.1556)."""
    before = 3
    for stage, (channels, depth) in enumerate(zip(_CHANNELS["vgg"], _VGG_DEPTHS, strict=True)):
        if stage:
            yield nn.MaxPool2d(2, stride=2)
        for _ in range(depth):
            yield nn.Conv2d(before, channels, 3, padding=1)
            yield nn.ReLU(inplace=True)
            before = channels


def load_lpips(net: Trunk, device: torch.device | str = "cpu") -> Lpips:
    """Load LPIPS with the trunk `alex` (AlexNet) or `vgg` (VGG16); draws no random numbers.

    Raises:
        UserError: the store does not have the trunk, or the package's heads are not the known ones.
    """
    trunk = load_file(require(LPIPS_TRUNKS[net]))
    heads = read_torch_state(_head_path(net))
    # On the meta device nothing is allocated or drawn, so the global random generator stays.
    with torch.device("meta"):
        lpips = Lpips(net)
    lpips.load_state_dict(_whole_state(net, trunk, heads), strict=True, assign=True)
    return lpips.requires_grad_(False).to(device)


def untrained_lpips(net: Trunk) -> Lpips:
    """Build LPIPS with random weights: its cost is that of the true one, its distances are not."""
    return Lpips(net)


def _whole_state(
    net: Trunk, trunk: Mapping[str, Tensor], heads: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Put trunk and heads under the names of the module; any gap is a KeyError."""
    state = {"shift": _by_colour(_SHIFT), "scale": _by_colour(_SCALE)}
    state |= {name.replace("features.", "trunk."): value for name, value in trunk.items()}
    for number in range(len(_CHANNELS[net])):
        state[f"heads.{number}.weight"] = heads[f"lin{number}.model.1.weight"]
    return state


def _by_colour(values: Sequence[float]) -> Float[Tensor, "1 3 1 1"]:
    return rearrange(torch.tensor(values), "c -> 1 c 1 1")


def _head_path(net: Trunk) -> Path:
    spec = find_spec("lpips")
    if spec is None or spec.origin is None:
        raise UserError("the package lpips is not installed; run `pip install lpips`")
    path = Path(spec.origin).parent / "weights" / "v0.1" / f"{net}.pth"
    if not path.is_file() or sha256_file(path) != _HEAD_SHA256[net]:
        raise UserError(
            f"{path}: these are not the heads of LPIPS 0.1; run `pip install --force-reinstall "
            "lpips==0.1.4`"
        )
    return path
