"""LPIPS, the learned perceptual distance of two pictures (Zhang et al. 2018, arXiv:1801.03924).

The network is that of the `lpips` package, version 0.1 of its heads. What is unusual: the package
would download the trunk from its own place; here trunk and heads are filled in from checked files.
"""

import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import lpips
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


class Lpips(nn.Module):
    """LPIPS with frozen weights; gradients pass to the pictures.

    Keep it outside of a module that is trained and saved: its weights are not that module's.
    """

    def __init__(self, network: lpips.LPIPS, *, net: Trunk) -> None:
        super().__init__()
        self.net = net
        self.weights_sha256 = entry(LPIPS_TRUNKS[net]).sha256
        self.network = network
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "Lpips":
        """Stay in evaluation mode, whatever the parent module does: the heads have dropout."""
        del mode
        return super().train(False)

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
        return rearrange(self.network(a, b), "b 1 1 1 -> b")

    def activations(self, pictures: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h2 w2"]:
        """Give the last activations of the trunk, for pictures in [-1, 1]."""
        return self.network.net(self.network.scaling_layer(pictures))[-1]


def load_lpips(net: Trunk, device: torch.device | str = "cpu") -> Lpips:
    """Load LPIPS with the trunk `alex` (AlexNet) or `vgg` (VGG16); draws no random numbers.

    Raises:
        UserError: the store does not have the trunk, or the package's heads are not the known ones.
    """
    trunk = load_file(require(LPIPS_TRUNKS[net]))
    heads = read_torch_state(_head_path(net))
    # On the meta device nothing is allocated or drawn: building VGG16 with its classifier would
    # cost seconds, and would disturb the global random generator.
    with torch.device("meta"):
        network = _build(net)
    network.load_state_dict(_whole_state(network, trunk, heads), strict=True, assign=True)
    return Lpips(network, net=net).to(device)


def untrained_lpips(net: Trunk) -> Lpips:
    """Build LPIPS with random weights: its cost is that of the true one, its distances are not."""
    return Lpips(_build(net), net=net)


def _build(net: Trunk) -> lpips.LPIPS:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="torchvision")
        return lpips.LPIPS(net=net, pretrained=False, pnet_rand=True, verbose=False)


def _whole_state(
    network: lpips.LPIPS, trunk: Mapping[str, Tensor], heads: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Put trunk and heads under the names of the package's module; any gap is a KeyError."""
    state = {}
    for key in network.state_dict():
        part, _, rest = key.partition(".")
        if part == "scaling_layer":
            values = _SHIFT if rest == "shift" else _SCALE
            state[key] = rearrange(torch.tensor(values), "c -> 1 c 1 1")
        elif part == "net":
            state[key] = trunk[f"features.{rest.partition('.')[2]}"]
        elif part == "lins":
            # The package lists each head twice: as lin0 and as lins.0.
            state[key] = heads[f"lin{rest}"]
        else:
            state[key] = heads[key]
    return state


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
