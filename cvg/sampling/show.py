"""Samples as videos for people, the true continuation beside each."""

from pathlib import Path

import numpy as np

from cvg.frames.samples import Samples, true_clips
from cvg.frames.store import FrameStore
from cvg.media import mark_context, side_by_side, stack, write_gif, write_mp4

SCALE = 2  # 64 pixels are small on a screen
MOST_IN_GRID = 6


def write_videos(folder: Path, samples: Samples, *, store: FrameStore, fps: float) -> list[Path]:
    """Write an mp4 a clip (truth beside sample), and `grid.gif` with some of them."""
    pairs = []
    paths = []
    for number, (truth, sample) in enumerate(
        zip(true_clips(store, samples), samples.frames, strict=True)
    ):
        marked = [
            mark_context(
                np.asarray(video), context_frames=samples.context_frames, goal=samples.goal
            )
            for video in (truth, sample)
        ]
        pairs.append(side_by_side(marked, names=("truth", "sample"), scale=SCALE))
        # Not `00.mp4`: DVC's plots cannot sort folders of all-digit names and others.
        paths.append(folder / f"sample_{number:02d}.mp4")
        write_mp4(paths[-1], pairs[-1], fps=fps)
    paths.append(folder / "grid.gif")
    # Spread over all clips, because those of one video come one after the other.
    count = min(MOST_IN_GRID, len(pairs))
    shown = [pairs[(2 * i + 1) * len(pairs) // (2 * count)] for i in range(count)]
    write_gif(paths[-1], stack(shown), fps=fps)
    return paths
