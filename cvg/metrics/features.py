"""Networks that embed clips or frames for distances of sets, and a memory of what they embedded."""

import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from einops import rearrange, reduce

from cvg.files import cache_folder, replacing_file
from cvg.mapping.machine import computing
from cvg.metrics.clips import CLIPS_AT_ONCE, Clips, rows_at_once
from cvg.metrics.scores import Network
from cvg.pretrained.catalog import I3D, LPIPS_TRUNKS
from cvg.pretrained.i3d import MIN_FRAMES, i3d_features, load_i3d
from cvg.pretrained.lpips import SMALLEST_SIZE, Lpips
from cvg.tensors import Float, UInt8

I3D_RESIZE = "bilinear to 224x224, aspect ratio not kept, antialias where it shrinks"
FOLDER_VARIABLE = "CVG_FEATURES"
FRAMES_AT_ONCE = 32
# Raise it with every change of what a network sees or gives: features that were kept become others.
VERSION = 2

Embed = Callable[[UInt8[np.ndarray, "n t h w 3"]], Float[np.ndarray, "n d"]]


@dataclass(frozen=True, kw_only=True)
class FeatureNetwork:
    """A network that turns each clip into one vector, or into one for each of its frames.

    Attributes:
        network: its name and the hash of its weights.
        embed: gives a row a clip; features of several frames stand one behind the other.
        min_frames: that a clip must have.
        min_size: that a frame must have, pixels.
        resize: what it does to frames first.
        per_frame: whether it looks at each frame alone.
        clips_at_once: that are embedded together; another number may change the last bits.
        version: of the code that embeds, and of the machine; another one gives other features.
    """

    network: Network
    embed: Embed
    min_frames: int
    min_size: int = 1
    resize: str
    per_frame: bool = False
    clips_at_once: int = CLIPS_AT_ONCE
    version: str = "1"

    @property
    def figure(self) -> str:
        """Name the distance that rests on it."""
        return "framefd" if self.per_frame else "fvd"

    def admits(self, shape: Sequence[int]) -> bool:
        """Say whether clips of a shape `n t h w 3` are long and large enough."""
        return shape[1] >= self.min_frames and min(shape[2:4]) >= self.min_size

    def vectors(self, features: Float[np.ndarray, "n d"], frames: int) -> Float[np.ndarray, "_ _"]:
        """Give what distances are of: the rows of clips, or those of their frames."""
        if not self.per_frame:
            return features
        return rearrange(features, "n (t c) -> (n t) c", t=frames)


def i3d_feature_network(
    *, device: torch.device | str = "cpu", batch_size: int = 4
) -> FeatureNetwork:
    """Load the network of FVD.

    Args:
        device: where it runs.
        batch_size: clips at once.

    Raises:
        UserError: the weights store does not have it.
    """
    network = load_i3d(device)

    def embed(clips: np.ndarray) -> np.ndarray:
        contiguous = torch.from_numpy(np.ascontiguousarray(clips))
        return i3d_features(network, contiguous, batch_size=batch_size).numpy()

    return FeatureNetwork(
        network=Network(name=I3D, weights_sha256=network.weights_sha256),
        embed=embed,
        min_frames=MIN_FRAMES,
        resize=I3D_RESIZE,
        clips_at_once=batch_size,
        version=_version(),
    )


def frame_feature_network(lpips: Lpips) -> FeatureNetwork:
    """Take the trunk of LPIPS as a network of single frames: its last activations, averaged.

    It is no standard network of a Frechet distance (that is an Inception, whose weights no package
    carries), so its figures are comparable among themselves alone.
    """
    name = LPIPS_TRUNKS[lpips.net]
    device = next(lpips.buffers()).device

    @torch.inference_mode()
    def embed(clips: np.ndarray) -> np.ndarray:
        frames = rearrange(clips, "n t h w c -> (n t) c h w")
        rows = []
        for part in rows_at_once(len(frames), FRAMES_AT_ONCE):
            pictures = torch.from_numpy(np.ascontiguousarray(frames[part])).to(device)
            rows.append(reduce(lpips.activations(pictures / 127.5 - 1), "b c h w -> b c", "mean"))
        return rearrange(torch.cat(rows).cpu().numpy(), "(n t) c -> n (t c)", n=len(clips))

    return FeatureNetwork(
        network=Network(name=name, weights_sha256=lpips.weights_sha256),
        embed=embed,
        min_frames=1,
        min_size=SMALLEST_SIZE,
        resize="none",
        per_frame=True,
        version=_version(),
    )


def _version() -> str:
    """Name all besides network and clips that shapes features; they are always float32."""
    machine = computing()
    traits = [machine[name] for name in ("torch", "device", "processor", "threads")]
    return " ".join(map(str, [VERSION, *traits]))


def features_folder() -> Path:
    """Give the folder of features: $CVG_FEATURES, else cvg/features in the user's cache folder."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    return Path(chosen) if chosen else cache_folder() / "features"


@dataclass(frozen=True)
class FeatureCache:
    """Features by the content of clips, so that clips that were seen are not embedded again.

    What is kept is what was embedded together: a clip alone may get other last bits, and figures
    must not depend on what happens to be here.

    Attributes:
        folder: where they are kept beyond this process; None keeps them in memory.
        features: those in memory, by the hash of network and content.
    """

    folder: Path | None = None
    features: dict[str, np.ndarray] = field(default_factory=dict)

    def embed(self, network: FeatureNetwork, clips: Clips) -> Float[np.ndarray, "n d"]:
        """Give the features of the clips, a row a clip; only what was never seen is computed."""
        found: list[np.ndarray] = []
        for rows in rows_at_once(len(clips), network.clips_at_once):
            together = clips[rows]
            key = _key(network, together)
            features = self._find(key)
            if features is None:
                features = network.embed(together)
                self._keep(key, features)
            found.append(features)
        return np.concatenate(found)

    def _find(self, key: str) -> np.ndarray | None:
        if self.folder is None or key in self.features:
            return self.features.get(key)
        try:
            return np.load(self._path(key), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None  # not there, or damaged: it is computed again

    def _keep(self, key: str, features: np.ndarray) -> None:
        """Keep features on disk, or where that cannot be, in memory."""
        if self.folder is None:
            self.features[key] = features
            return
        try:
            with replacing_file(self._path(key)) as temporary:
                np.save(temporary, features)
        except OSError as error:
            if not self.features:
                sys.stderr.write(
                    f"WARNING: {self.folder}: features cannot be kept ({error.strerror}); they are "
                    f"computed again next time. {FOLDER_VARIABLE} names another folder\n"
                )
            self.features[key] = features

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / key[:2] / f"{key}.npy"


def _key(network: FeatureNetwork, clips: np.ndarray) -> str:
    made_by = f"{network.network} {network.resize} {network.version} {clips.shape} "
    digest = hashlib.sha256(made_by.encode())
    digest.update(np.ascontiguousarray(clips).data)
    return digest.hexdigest()
