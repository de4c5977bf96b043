"""What codes and their tracks say of the conditions of clips."""

import warnings
from collections.abc import Collection, Sequence

import numpy as np

from cvg.codes.batches import CodeBatch
from cvg.codes.store import CodeStore
from cvg.conditions.condition import KINDS, Condition, Kind
from cvg.conditions.conditioning import Conditioning
from cvg.conditions.vocabulary import Vocabulary, collect_rates, collect_words
from cvg.config import ConditionsParams
from cvg.segments import Windows

# Enough for steady quantiles and means, and soon read.
MOST_WINDOWS = 2000


def collect_conditioning(
    store: CodeStore, params: ConditionsParams, *, clip_frames: int
) -> Conditioning:
    """Find out which conditions the training videos have; those always dropped are left out.

    Args:
        store: of the codes.
        params: which kinds are wanted.
        clip_frames: over how many frames motion is measured.
    """
    segments = store.segments("train")
    wanted = {kind for kind in KINDS if params.share_dropped(kind) < 1}
    captions = [segment.caption for segment in segments if "caption" in wanted]
    labels = {segment.label for segment in segments if segment.label and "label" in wanted}
    rates = [
        segment.fps / stride
        for segment in segments
        for stride in params.strides
        # A rate that no clip is long enough for is never seen.
        if "fps" in wanted and segment.num_frames > (clip_frames - 1) * stride
    ]
    vocabulary = Vocabulary(
        words=collect_words(captions, units=params.caption_units, length=params.caption_length),
        labels=tuple(sorted(labels)),
        rates=collect_rates(rates),
        motion_edges=(
            _motion_edges(store, params.motion_buckets, clip_frames) if "motion" in wanted else None
        ),
        caption_units=params.caption_units,
        caption_length=params.caption_length if any(captions) else 0,
    )
    tracks = store.tracks
    with_actions = "actions" in wanted and any(s.first_action is not None for s in segments)
    with_maps = "map" in wanted and any(s.first_map is not None for s in segments)
    return Conditioning(
        vocabulary=vocabulary,
        action_width=tracks["actions"].item_shape[0] if with_actions else 0,
        map_cells=tracks["map"].item_shape[0] if with_maps else 0,
    )


def known_conditions(
    batch: CodeBatch, vocabulary: Vocabulary, *, kinds: Collection[Kind] = KINDS
) -> list[Condition]:
    """Give what is known of clips.

    Args:
        batch: the clips.
        vocabulary: of the model, for its buckets of motion.
        kinds: which kinds are wanted. Motion is measured over all frames of a clip.
    """
    changes = mean_changes(batch.tracks["motion"])
    return [
        Condition(
            caption=segment.caption if "caption" in kinds else None,
            label=segment.label if "label" in kinds else None,
            fps=segment.fps / batch.stride if "fps" in kinds else None,
            motion=vocabulary.bucket_of(changes[number]) if "motion" in kinds else None,
            # Rows between the frames of a stride would have to be added up; they are missing.
            actions=(
                batch.tracks["actions"][number]
                if "actions" in kinds and segment.first_action is not None and batch.stride == 1
                else None
            ),
            map=(
                batch.tracks["map"][number, :: batch.stride].astype(np.float32) / 255
                if "map" in kinds and segment.first_map is not None
                else None
            ),
        )
        for number, segment in enumerate(batch.segments)
    ]


def mean_changes(motion: np.ndarray) -> Sequence[float]:
    """Give the mean change between successive frames of clips, grey levels of 0 to 255.

    Args:
        motion: change that leads to each frame, `[b, frames]`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # clips of one frame have no change
        return np.nanmean(motion[:, 1:], axis=1).tolist()


def action_spread(store: CodeStore) -> tuple[np.ndarray, np.ndarray]:
    """Give mean and standard deviation of the actions of training videos, `[a]`."""
    having = [s for s in store.segments("train") if s.first_action is not None]
    chosen = having[:: max(1, len(having) // MOST_WINDOWS)]
    rows = [store.window(segment, 0, segment.num_frames)["actions"] for segment in chosen]
    values = np.concatenate(rows).astype(np.float64)
    return values.mean(0), np.maximum(values.std(0), 1e-6)


def _motion_edges(store: CodeStore, buckets: int, clip_frames: int) -> tuple[float, ...] | None:
    """Part the training clips into buckets of equal size by how much moves in them.

    Returns:
        None where clips have a single frame, in which nothing moves.
    """
    windows = Windows(store.segments("train"), length=clip_frames).spread(MOST_WINDOWS)
    motion = [store.window(w.segment, w.start, w.length)["motion"] for w in windows]
    if not motion or clip_frames < 2:
        return None
    changes = mean_changes(np.stack(motion))
    edges = np.unique(np.quantile(changes, np.arange(1, buckets) / buckets))
    # Where many clips are alike, quantiles fall together; no class may be empty.
    return tuple(float(edge) for edge in edges if min(changes) < edge <= max(changes))
