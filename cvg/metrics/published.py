"""Published protocols of video figures, each of their choices written out.

None of them says with which filter videos are brought to their size; ours is an average over the
area, so give videos of that size.
"""

from dataclasses import dataclass
from typing import Literal

from cvg.errors import UserError
from cvg.videos.source import Fit


@dataclass(frozen=True, kw_only=True)
class Published:
    """A protocol as its authors run it.

    Attributes:
        name: of it here.
        used_by: where it is from.
        frames: of a clip, context included.
        stride: every n-th frame.
        size: pixels of a frame, before the network's own resizing.
        clips: on each side; fewer make another figure.
        context_frames: real frames in front, which FVD counts and the paired figures leave out.
        samples: for each condition.
        starts: where in a video its clip begins.
        divide_by_n: whether covariances are divided by N and not by N - 1.
        fit: how frames come to be square: all of these cut out the middle.
        differs: what its code does otherwise, which this program does not follow.
    """

    name: str
    used_by: str
    frames: int
    stride: int = 1
    size: int
    clips: int
    context_frames: int
    samples: int = 1
    starts: Literal["first", "random"]
    divide_by_n: bool
    fit: Fit = "crop"
    differs: str


PUBLISHED = {
    protocol.name: protocol
    for protocol in (
        Published(
            name="stylegan-v-16f",
            used_by="StyleGAN-V (Skorokhodov et al. 2022, arXiv:2112.14683), fvd2048_16f; DIGAN",
            frames=16,
            size=256,
            clips=2048,
            context_frames=0,
            starts="random",
            divide_by_n=True,
            differs="its root of the covariances is SciPy's sqrtm, ours a nuclear norm: same value",
        ),
        Published(
            name="videogpt-bair",
            used_by="VideoGPT (Yan et al. 2021, arXiv:2104.10157), BAIR from one frame",
            frames=16,
            size=64,
            clips=256,
            context_frames=1,
            starts="first",
            divide_by_n=False,
            differs="its I3D has the epsilon 1e-5 of batch norms (151.76 for 151.39, black against "
            "white), its root is float32 (off by some points), its bytes are cut off, not rounded",
        ),
        Published(
            name="tats-ucf101",
            used_by="TATS (Ge et al. 2022, arXiv:2204.03638), UCF-101",
            frames=16,
            size=128,
            clips=2048,
            context_frames=0,
            starts="random",
            divide_by_n=False,
            differs="its I3D has the epsilon 1e-5 of batch norms, its root is float32",
        ),
        Published(
            name="mcvd",
            used_by="MCVD (Voleti et al. 2022, arXiv:2205.09853), BAIR, 2 frames to 28",
            frames=30,
            size=64,
            clips=256,
            context_frames=2,
            samples=100,
            starts="first",
            divide_by_n=False,
            differs="its SSIM is of grey frames, its LPIPS of frames enlarged to 128 pixels; it "
            "gives FVD of all samples pooled, and as a mean over sets of one sample each: ours is "
            "the latter",
        ),
    )
}


def published(name: str) -> Published:
    """Find a protocol by its name.

    Raises:
        UserError: there is none of this name.
    """
    if name not in PUBLISHED:
        raise UserError(f"protocol {name}: not known; expected one of {', '.join(PUBLISHED)}")
    return PUBLISHED[name]
