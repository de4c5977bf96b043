"""Networks that embed clips for Frechet distances, and a memory of what they embedded."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from cvg.metrics.scores import Network
from cvg.pretrained.catalog import I3D
from cvg.pretrained.i3d import MIN_FRAMES, i3d_features, load_i3d
from cvg.tensors import Float, UInt8

I3D_RESIZE = "bilinear to 224x224, aspect ratio not kept, antialias where it shrinks"

Embed = Callable[[UInt8[np.ndarray, "n t h w 3"]], Float[np.ndarray, "n d"]]


@dataclass(frozen=True, kw_only=True)
class FeatureNetwork:
    """A network that turns each clip into one vector."""

    network: Network
    embed: Embed
    min_frames: int
    resize: str


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


@dataclass(frozen=True)
class FeatureCache:
    """Features by the content of the clips, so that the real clips are embedded once."""

    features: dict[str, np.ndarray] = field(default_factory=dict)

    def embed(
        self, network: FeatureNetwork, clips: UInt8[np.ndarray, "n t h w 3"]
    ) -> Float[np.ndarray, "n d"]:
        """Give the features of the clips, computed at the first call with the same content."""
        digest = hashlib.sha256(f"{network.network} {clips.shape}".encode())
        digest.update(np.ascontiguousarray(clips).data)
        key = digest.hexdigest()
        if key not in self.features:
            self.features[key] = network.embed(clips)
        return self.features[key]
