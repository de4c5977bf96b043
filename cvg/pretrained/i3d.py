"""I3D on Kinetics-400: the network behind the Frechet video distance.

Source: Carreira and Zisserman 2017, arXiv:1705.07750; the features of Unterthiner et al. 2018,
arXiv:1812.01717: the 400 logits before softmax, averaged over time. What is unusual: padding is
TensorFlow's SAME, which puts the odd pixel behind; the batch norms have no scale and an epsilon
of 1e-3, and are folded into the convolutions, so there is no training mode.
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from safetensors.torch import load_file
from torch import nn

from cvg.pretrained.catalog import I3D as NAME
from cvg.pretrained.catalog import entry
from cvg.pretrained.store import require
from cvg.tensors import Float, Float32, Tensor, UInt8

FRAME_SIZE = 224  # pixels
MIN_FRAMES = 9  # eight leave one step for the last average pool, which takes two
NORM_EPSILON = 1e-3

Triple = tuple[int, int, int]

# Channels of branch 0; branch 1, narrow and wide; branch 2, narrow and wide; branch 3.
_MIXED = {
    "Mixed_3b": (192, (64, 96, 128, 16, 32, 32)),
    "Mixed_3c": (256, (128, 128, 192, 32, 96, 64)),
    "Mixed_4b": (480, (192, 96, 208, 16, 48, 64)),
    "Mixed_4c": (512, (160, 112, 224, 24, 64, 64)),
    "Mixed_4d": (512, (128, 128, 256, 24, 64, 64)),
    "Mixed_4e": (512, (112, 144, 288, 32, 64, 64)),
    "Mixed_4f": (528, (256, 160, 320, 32, 128, 128)),
    "Mixed_5b": (832, (256, 160, 320, 32, 128, 128)),
    "Mixed_5c": (832, (384, 192, 384, 48, 128, 128)),
}


def pad_same(
    values: Float[Tensor, "b c t h w"], kernel: Triple, stride: Triple
) -> Float[Tensor, "b c t2 h2 w2"]:
    """Pad with zeros as TensorFlow's SAME does: the odd one goes behind."""
    pads: list[int] = []
    for size, width, step in reversed(list(zip(values.shape[2:], kernel, stride, strict=True))):
        total = max((-(-size // step) - 1) * step + width - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(values, pads) if any(pads) else values


class Unit(nn.Module):
    """A convolution with its batch norm folded in, and a ReLU."""

    def __init__(self, channels: int, out: int, *, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.kernel: Triple = (kernel, kernel, kernel)
        self.stride: Triple = (stride, stride, stride)
        self.weight = nn.Parameter(torch.empty(out, channels, *self.kernel))
        self.bias = nn.Parameter(torch.empty(out))

    def forward(self, values: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t2 h2 w2"]:
        """Convolve and rectify."""
        padded = pad_same(values, self.kernel, self.stride)
        return F.conv3d(padded, self.weight, self.bias, self.stride).relu_()


class Pool(nn.Module):
    """Max pooling of values that are nowhere negative, so that padding with zeros is harmless."""

    def __init__(self, kernel: Triple, stride: Triple) -> None:
        super().__init__()
        self.kernel = kernel
        self.stride = stride

    def forward(self, values: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t2 h2 w2"]:
        """Take the largest value of each window."""
        return F.max_pool3d(pad_same(values, self.kernel, self.stride), self.kernel, self.stride)


class Mixed(nn.Module):
    """Four branches side by side."""

    def __init__(self, channels: int, widths: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        plain, narrow1, wide1, narrow2, wide2, pooled = widths
        self.Branch_0 = _named(Conv3d_0a_1x1=Unit(channels, plain))
        self.Branch_1 = _named(
            Conv3d_0a_1x1=Unit(channels, narrow1), Conv3d_0b_3x3=Unit(narrow1, wide1, kernel=3)
        )
        self.Branch_2 = _named(
            Conv3d_0a_1x1=Unit(channels, narrow2), Conv3d_0b_3x3=Unit(narrow2, wide2, kernel=3)
        )
        self.Branch_3 = _named(
            MaxPool3d_0a_3x3=Pool((3, 3, 3), (1, 1, 1)), Conv3d_0b_1x1=Unit(channels, pooled)
        )

    def forward(self, values: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t h w"]:
        """Concatenate what the branches make of the values."""
        branches = (self.Branch_0, self.Branch_1, self.Branch_2, self.Branch_3)
        return torch.cat([branch(values) for branch in branches], dim=1)


def _named(**modules: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(modules))


class I3D(nn.Module):
    """Inflated Inception-v1, from clips to 400 logits; modules are named as in the paper's code."""

    def __init__(self) -> None:
        super().__init__()
        mixed = {name: Mixed(channels, widths) for name, (channels, widths) in _MIXED.items()}
        layers: dict[str, nn.Module] = {
            "Conv3d_1a_7x7": Unit(3, 64, kernel=7, stride=2),
            "MaxPool3d_2a_3x3": Pool((1, 3, 3), (1, 2, 2)),
            "Conv3d_2b_1x1": Unit(64, 64),
            "Conv3d_2c_3x3": Unit(64, 192, kernel=3),
            "MaxPool3d_3a_3x3": Pool((1, 3, 3), (1, 2, 2)),
            "Mixed_3b": mixed["Mixed_3b"],
            "Mixed_3c": mixed["Mixed_3c"],
            "MaxPool3d_4a_3x3": Pool((3, 3, 3), (2, 2, 2)),
        }
        layers |= {name: block for name, block in mixed.items() if name.startswith("Mixed_4")}
        layers["MaxPool3d_5a_2x2"] = Pool((2, 2, 2), (2, 2, 2))
        layers |= {name: block for name, block in mixed.items() if name.startswith("Mixed_5")}
        self.trunk = _named(**layers)
        self.logits = nn.Conv3d(1024, 400, kernel_size=1)
        self.weights_sha256 = entry(NAME).sha256
        self.requires_grad_(False)

    def forward(self, clips: Float[Tensor, "b 3 t 224 224"]) -> Float[Tensor, "b 400"]:
        """Give the logits of each clip, averaged over time.

        Args:
            clips: colours in [-1, 1], at least 9 frames.
        """
        pooled = F.avg_pool3d(self.trunk(clips), (2, 7, 7), stride=1)
        return reduce(self.logits(pooled), "b d t h w -> b d", "mean")


def load_i3d(device: torch.device | str = "cpu") -> I3D:
    """Load I3D with the weights of the store; draws no random numbers.

    Raises:
        UserError: the store does not have them.
    """
    arrays = load_file(require(NAME))
    with torch.device("meta"):
        network = I3D()
    state = {
        f"logits.{kind}": arrays[f"Logits.Conv3d_0c_1x1.{kind}"] for kind in ("weight", "bias")
    }
    units = {key.removesuffix(".mean") for key in arrays if key.endswith(".mean")}
    for unit in units:
        weight, bias = _fold_norm(arrays, unit)
        state |= {f"trunk.{unit}.weight": weight, f"trunk.{unit}.bias": bias}
    network.load_state_dict(state, strict=True, assign=True)
    return network.to(device).eval()


def _fold_norm(arrays: dict[str, Tensor], unit: str) -> tuple[Tensor, Tensor]:
    """Fold (conv(x) - mean) / sqrt(var + epsilon) + bias into one convolution, in float64."""
    scale = (arrays[f"{unit}.var"].double() + NORM_EPSILON).rsqrt()
    weight = arrays[f"{unit}.weight"].double() * rearrange(scale, "d -> d 1 1 1 1")
    bias = arrays[f"{unit}.bias"].double() - arrays[f"{unit}.mean"].double() * scale
    return weight.float(), bias.float()


@torch.inference_mode()
def i3d_features(
    network: I3D, clips: UInt8[Tensor, "n t h w 3"], *, batch_size: int = 4
) -> Float32[Tensor, "n 400"]:
    """Embed clips as the Frechet video distance does.

    Every frame is resized to 224x224 without regard to its aspect ratio: bilinear, with antialias
    where it shrinks. Colours go from 0 .. 255 to [-1, 1]. No autocast.

    Args:
        network: from `load_i3d`.
        clips: at least 9 frames each.
        batch_size: clips at once; changes the result by no more than float32 rounding.

    Raises:
        ValueError: the clips have fewer than 9 frames.
    """
    if clips.shape[1] < MIN_FRAMES:
        raise ValueError(
            f"FVD needs clips of at least {MIN_FRAMES} frames, got {clips.shape[1]}; "
            "set sample.frames higher"
        )
    device = network.logits.weight.device
    rows = []
    for batch in clips.split(batch_size):
        with torch.autocast(device.type, enabled=False):
            rows.append(network(_prepare(batch.to(device))).float().cpu())
    return torch.cat(rows) if rows else torch.empty(0, 400)


def _prepare(clips: UInt8[Tensor, "b t h w 3"]) -> Float32[Tensor, "b 3 t 224 224"]:
    frames = rearrange(clips, "b t h w c -> (b t) c h w").float()
    shrinks = max(frames.shape[-2:]) > FRAME_SIZE
    size = (FRAME_SIZE, FRAME_SIZE)
    frames = F.interpolate(frames, size, mode="bilinear", align_corners=False, antialias=shrinks)
    return rearrange(2 * frames / 255 - 1, "(b t) c h w -> b c t h w", b=len(clips))
