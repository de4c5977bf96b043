"""Networks that embed clips or frames for distances of sets, and a memory of what they embedded."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from einops import rearrange, reduce

from cvg.files import replacing_file
from cvg.metrics.clips import Clips, rows_at_once
from cvg.metrics.scores import Network
from cvg.pretrained.catalog import I3D, LPIPS_TRUNKS
from cvg.pretrained.i3d import MIN_FRAMES, i3d_features, load_i3d
from cvg.pretrained.lpips import SMALLEST_SIZE, Lpips
from cvg.pretrained.store import cache_folder
from cvg.tensors import Float, UInt8

I3D_RESIZE = "bilinear to 224x224, aspect ratio not kept, antialias where it shrinks"
FOLDER_VARIABLE = "CVG_FEATURES"
FRAMES_AT_ONCE = 32

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
    """

    network: Network
    embed: Embed
    min_frames: int
    min_size: int = 1
    resize: str
    per_frame: bool = False


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
    )


def features_folder() -> Path:
    """Give the folder of features: $CVG_FEATURES, else cvg/features in the user's cache folder."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    return Path(chosen) if chosen else cache_folder() / "features"


@dataclass(frozen=True)
class FeatureCache:
    """Features by the content of clips, so that the same clip is embedded once.

    Attributes:
        folder: where they are kept beyond this process; None keeps them in memory alone.
        features: in memory, by the hash of network and content.
    """

    folder: Path | None = None
    features: dict[str, np.ndarray] = field(default_factory=dict)

    def embed(self, network: FeatureNetwork, clips: Clips) -> Float[np.ndarray, "n d"]:
        """Give the features of the clips; only those that were never seen are computed.

        Of a network that looks at single frames, there is a row for each frame of each clip.
        """
        rows = []
        for part in rows_at_once(len(clips)):
            batch = clips[part]
            keys = [_key(network, clip) for clip in batch]
            new = [n for n, key in enumerate(keys) if self._find(key) is None]
            if new:
                for n, row in zip(new, network.embed(batch[new]), strict=True):
                    self._keep(keys[n], row)
            rows += [self.features[key] for key in keys]
        features = np.stack(rows)
        if network.per_frame:
            features = rearrange(features, "n (t c) -> (n t) c", t=clips.shape[1])
        return features

    def _find(self, key: str) -> np.ndarray | None:
        if key not in self.features and self.folder is not None:
            try:
                self.features[key] = np.load(self._path(key), allow_pickle=False)
            except (OSError, ValueError, EOFError):
                return None  # not there, or damaged: it is computed again
        return self.features.get(key)

    def _keep(self, key: str, row: np.ndarray) -> None:
        self.features[key] = row
        if self.folder is not None:
            with replacing_file(self._path(key)) as temporary:
                np.save(temporary, row)

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / key[:2] / f"{key}.npy"


def _key(network: FeatureNetwork, clip: np.ndarray) -> str:
    made_by = f"{network.network} {network.resize} {network.per_frame} {clip.shape} "
    digest = hashlib.sha256(made_by.encode())
    digest.update(np.ascontiguousarray(clip).data)
    return digest.hexdigest()
