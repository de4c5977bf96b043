"""Changes from frame to frame, by hand."""

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from cvg.metrics.motion import changes_of, compare_motion, wasserstein


def clip(*levels):
    """Frames of one grey level each."""
    return np.array(levels, np.uint8)[:, None, None, None].repeat(3, axis=3)


def test_figures_by_hand():
    real = np.stack([clip(0, 1, 3, 6), clip(0, 2, 4, 4)])  # changes from frame 2 on: 2 3, 2 0
    other = np.stack([clip(9, 9, 9, 19), clip(0, 5, 5, 5)])  # 0 10, 0 0
    found = compare_motion(changes_of(real, first=2), changes_of(other, first=2))
    assert found.figures["repeated"] == 0.75
    # Sorted, 0 0 0 10 against 0 2 2 3: moved by 0, 2, 2, 7.
    assert found.figures["motion_distance"] == pytest.approx(11 / 4)
    assert found.per_clip["motion"].tolist() == [5, 0]
    assert found.sentence == "mean change 2.50 grey levels, of the real clips 1.75"


def test_without_context_all_changes_count():
    real = np.stack([clip(0, 1, 3), clip(0, 2, 4)])
    steps = changes_of(real, first=0)
    found = compare_motion(steps, steps)
    assert found.figures == {"motion_distance": 0.0, "repeated": 0.0}
    assert found.per_clip["motion"].tolist() == [1.5, 2]


def test_a_single_frame_has_no_motion():
    steps = changes_of(clip(1)[None], first=0)
    assert steps.shape == (1, 0)
    assert compare_motion(steps, steps).figures == {}


@pytest.mark.parametrize("seed", range(5))
def test_distance_of_sets_of_any_size_equals_scipy(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=rng.integers(1, 30)), rng.normal(1, 2, size=rng.integers(1, 30)).round()
    assert wasserstein(a, b) == wasserstein(b, a) == pytest.approx(wasserstein_distance(a, b))
