"""The pretrained networks behind figures: which are at hand, and how to get the others."""

from dataclasses import dataclass

import torch

from cvg.metrics.features import FeatureNetwork, frame_feature_network, i3d_feature_network
from cvg.pretrained.catalog import I3D, LPIPS_TRUNKS
from cvg.pretrained.lpips import Lpips, Trunk, load_lpips
from cvg.pretrained.store import locate


@dataclass(frozen=True, kw_only=True)
class Networks:
    """The pretrained networks at hand; a figure whose network is absent is left out."""

    lpips: Lpips | None = None
    features: FeatureNetwork | None = None  # of clips
    frames: FeatureNetwork | None = None  # of single frames
    missing: tuple[str, ...] = ()  # a sentence for each absent network: which, how to get it

    @property
    def of_sets(self) -> list[FeatureNetwork]:
        """Those that distances of sets rest on."""
        return [one for one in (self.features, self.frames) if one is not None]

    def hashes(self) -> dict[str, str]:
        """Give the hash of the weights by kind of network; one that is absent has a hash too."""
        weights = self.features.network.weights_sha256 if self.features else "absent"
        return {
            "lpips": self.lpips.weights_sha256 if self.lpips else "absent",
            "features": weights,
        }


def load_networks(
    *,
    lpips: Trunk,
    stage: str,
    device: torch.device | str = "cpu",
    batch_size: int = 4,
    with_fvd: bool = True,
) -> Networks:
    """Load what the weights store has; `missing` says what it does not have.

    Args:
        lpips: trunk of LPIPS.
        stage: what must run again once a network has come.
        device: where they run.
        batch_size: clips at once in the network of FVD.
        with_fvd: whether the network of FVD is wanted; one that is not is not missed either.

    Raises:
        UserError: a file of the store is damaged.
    """
    missing: list[str] = []
    lpips_network = features = frames = None
    if locate(LPIPS_TRUNKS[lpips]):
        lpips_network = load_lpips(lpips, device)
        frames = frame_feature_network(lpips_network)
    else:
        missing.append(_absence(f"lpips_{lpips}", LPIPS_TRUNKS[lpips], stage, also="framefd"))
    if with_fvd and locate(I3D):
        features = i3d_feature_network(device=device, batch_size=batch_size)
    elif with_fvd:
        missing.append(_absence("fvd", I3D, stage, also="kvd"))
    return Networks(lpips=lpips_network, features=features, frames=frames, missing=tuple(missing))


def _absence(figure: str, network: str, stage: str, *, also: str) -> str:
    return (
        f"{figure} is left out, and {also}: the network {network} is absent; run "
        f"`cvg weights fetch {network}`, then `dvc repro -f --single-item {stage}`"
    )
