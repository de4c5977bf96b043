"""What is measured of each clip of a set: here the time goes; figures are pooled of it afterwards.

Measurements are arrays by name with a row a clip, so that those of some clips can be written, read
and put behind those of others.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cvg.metrics.clips import Clips, rows_at_once
from cvg.metrics.features import FeatureCache, FeatureNetwork
from cvg.metrics.motion import changes_of
from cvg.metrics.networks import Networks
from cvg.metrics.perceptual import lpips_distance
from cvg.metrics.pixels import SSIM_WINDOW, psnr, ssim
from cvg.metrics.scores import Network, metric_name
from cvg.pretrained.catalog import LPIPS_TRUNKS
from cvg.pretrained.lpips import SMALLEST_SIZE

PerFrame = Callable[[np.ndarray, np.ndarray], np.ndarray]
Rows = dict[str, np.ndarray]

CHANGES = "changes"
FEATURES = "features."  # in front of the name of a distance
PAIRS = "pairs."  # in front of the name of a metric


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A set of clips, as what was measured of them.

    Attributes:
        shape: clips, frames, height, width, colours.
        rows: `changes`, from frame to frame; `features.NAME` for the distance of that name;
            `pairs.METRIC` of each predicted frame, where the clips continue real ones.
    """

    shape: tuple[int, ...]
    rows: Rows

    def features(self, network: FeatureNetwork) -> np.ndarray:
        """Give the vectors that distances of sets are of."""
        return network.vectors(self.rows[FEATURES + network.figure], self.shape[1])

    def pairs(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Give metrics of pairs by their names, `[n, t]` of the predicted frames."""
        return {name: self.rows[PAIRS + name] for name in names}


@dataclass(frozen=True, kw_only=True)
class Meter:
    """Measures clips; some are in memory at a time, and which ones are together is fixed.

    Attributes:
        networks: from `load_networks`.
        cache: of features.
        context_frames: at the start of clips, which metrics of pairs leave out.
        more: that is measured of clips.
    """

    networks: Networks
    cache: FeatureCache
    context_frames: int
    more: Callable[[np.ndarray], Rows] = lambda _: {}

    def measure(self, clips: Clips, *, real: Clips | None = None) -> Measured:
        """Measure a set of clips.

        Args:
            clips: any.
            real: the clips that they continue, where they do.
        """
        blocks = []
        for rows in rows_at_once(len(clips)):
            batch = clips[rows]
            block = self._alone(batch)
            if real is not None:
                block |= self._beside(real[rows], batch)
            blocks.append(block)
        return Measured(shape=clips.shape, rows=joined(blocks))

    def _alone(self, clips: np.ndarray) -> Rows:
        rows = {CHANGES: changes_of(clips, first=self.context_frames)}
        for network in self.networks.of_sets:
            if network.admits(clips.shape):
                rows[FEATURES + network.figure] = self.cache.embed(network, clips)
        return rows | self.more(clips)

    def _beside(self, real: np.ndarray, clips: np.ndarray) -> Rows:
        metrics, _ = paired_metrics(self.networks, size=min(clips.shape[2:4]))
        a, b = (side[:, self.context_frames :] for side in (real, clips))
        return {PAIRS + name: metric(a, b) for name, (metric, _) in metrics.items()}


def joined(blocks: Sequence[Rows]) -> Rows:
    """Put measurements of some clips behind those of others."""
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def paired_metrics(
    networks: Networks, *, size: int
) -> tuple[dict[str, tuple[PerFrame, Network | None]], list[str]]:
    """Give the metrics that frames of this size admit, and a sentence for each of the others.

    Args:
        networks: from `load_networks`.
        size: the shorter side of a frame, pixels.

    Returns:
        By its name in the protocol, each metric with the network that it rests on; and sentences
        for those that need larger frames. What `networks.missing` says is not repeated.
    """
    metrics: dict[str, tuple[PerFrame, Network | None]] = {"psnr": (psnr, None)}
    absent: list[str] = []
    if size < SSIM_WINDOW:
        absent.append(f"ssim is left out: it needs {SSIM_WINDOW} pixels, the frames have {size}")
    else:
        metrics["ssim"] = (ssim, None)
    lpips = networks.lpips
    if lpips is not None:
        network = Network(name=LPIPS_TRUNKS[lpips.net], weights_sha256=lpips.weights_sha256)
        name = metric_name(f"lpips_{lpips.net}", network)
        if size < SMALLEST_SIZE:
            absent.append(
                f"{name} is left out: it needs {SMALLEST_SIZE} pixels, the frames have {size}"
            )
        else:
            metrics[name] = (lambda a, b: lpips_distance(lpips, a, b), network)
    return metrics, absent
