"""Is a video new, or a piece of the training videos?"""

from collections.abc import Iterable

import numpy as np

from cvg.metrics.baselines import flat, squared_distances
from cvg.tensors import Float, UInt8


def nearest_distances(
    clips: UInt8[np.ndarray, "n t h w 3"],
    windows: Iterable[UInt8[np.ndarray, "_ t h w 3"]],
    *,
    first: int,
) -> Float[np.ndarray, "n"]:
    """Give how far the frames from `first` on are from the nearest training window's.

    Root mean squared difference of pixels, grey levels. Videos that are as varied as real ones are
    nearer than the real ones they continue in about half of the cases; copies always. It sees
    copies and near copies; what is copied but shifted is far away by it.

    Args:
        clips: any.
        windows: batches of training windows of the same shape; they are streamed, never held.
        first: number of the first frame that is looked at.

    Raises:
        ValueError: there is no training window.
    """
    futures = flat(clips[:, first:])
    nearest = np.full(len(clips), np.inf)
    for batch in windows:
        nearest = np.minimum(
            nearest, squared_distances(futures, flat(batch[:, first:])).min(axis=1)
        )
    if not np.isfinite(nearest).all():
        raise ValueError("no training window is as long as the clips; nothing can be compared")
    return np.sqrt(np.maximum(nearest, 0) / futures.shape[1])
