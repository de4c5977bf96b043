"""Scores of videos of anyone's model against real ones, with the checks that a run's own get."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cvg.errors import UserError
from cvg.mapping.machine import computing
from cvg.metrics.clips import Chosen, Clips
from cvg.metrics.evaluate import Evaluation, score_sets
from cvg.metrics.features import FeatureCache, features_folder
from cvg.metrics.folders import NamedClips
from cvg.metrics.inspect import INSPECTED, inspect_clips, suspicions
from cvg.metrics.measure import Measured, Meter, Rows, joined, paired_metrics
from cvg.metrics.networks import Networks
from cvg.metrics.parts import Parts, write_part
from cvg.metrics.scores import Protocol
from cvg.metrics.several import diversity, mean_of_sets, with_pairs
from cvg.progress import Steps

SAFE_FRAMES = 10  # nine pass the network of FVD, and hang on a single step of its last pooling
REAL, DIVERSITY = "real", "diversity"  # what is measured besides the sets of samples


@dataclass(frozen=True, kw_only=True)
class FolderScores:
    """Figures of a model, and what is to be known of its clips.

    Attributes:
        evaluation: the figures.
        names: of the clips, whose figures `evaluation.per_clip` has where they are paired.
        warnings: sentences.
    """

    evaluation: Evaluation
    names: tuple[str, ...]
    warnings: tuple[str, ...]


class FolderScorer:
    """Scores generated clips, in this process or in parts.

    Attributes:
        networks: by which they are scored.
        inputs: the hashes of all that is read.
        sizes: clips of each part.
    """

    def __init__(
        self,
        real: NamedClips,
        fakes: Sequence[NamedClips],
        *,
        paired: bool,
        protocol: Protocol,
        networks: Networks,
        hashes: Mapping[str, str] | None = None,
    ) -> None:
        """Look at what is to be scored.

        Args:
            real: clips.
            fakes: of each condition one sample in each; the usual case is one set.
            paired: whether generated clips continue the real ones of the same names.
            protocol: how the clips were chosen.
            networks: from `load_networks`.
            hashes: of what is read, besides the networks.

        Raises:
            UserError: the clips do not fit each other.
        """
        _check(real, fakes, paired=paired)
        if len(fakes[0].names) != len(real.names):
            protocol = replace(protocol, generated=len(fakes[0].names))
        self.networks, self.inputs = networks, {**networks.hashes(), **(hashes or {})}
        self._real, self._paired, self._protocol = real, paired, protocol
        self._meter = Meter(
            networks=networks,
            cache=FeatureCache(features_folder()),
            context_frames=protocol.context_frames,
            more=inspect_clips,
        )
        self._metrics, self._absent = paired_metrics(networks, size=min(real.clips.shape[2:4]))
        self._sets = {
            f"set {number}": Chosen(fake.clips, _order(fake, real.names if paired else None))
            for number, fake in enumerate(fakes, start=1)
        }
        counts = {REAL: len(real.names)}
        counts |= {name: len(clips) for name, clips in self._sets.items()}
        if paired and len(fakes) > 1 and any(name.startswith("lpips") for name in self._metrics):
            counts[DIVERSITY] = len(real.names)
        self._counts, self._parts = counts, Parts(counts)
        self.sizes = self._parts.sizes

    def machine(self) -> dict[str, Any]:
        """Give what of this machine shapes figures."""
        return computing()

    def make(self, number: int, folder: Path, *, advance: Callable[[int], None]) -> None:
        """Write what is measured of the clips of a part into `folder`."""
        name, rows = self._parts[number]
        write_part(folder, self._measure(name, rows))
        advance(self.sizes[number])

    def join(self, parts: Sequence[Path]) -> FolderScores:
        """Give the figures from the folders of all parts, in order; one set is read at a time."""
        return self._pool(partial(self._parts.read, folders=parts))

    def score(self) -> FolderScores:
        """Measure everything here, and give the figures."""
        with Steps("evaluate", total=sum(self.sizes)) as steps:

            def measured(name: str) -> Rows:
                found = []
                for rows in self._parts.of(name):
                    found.append(self._measure(name, rows))
                    steps.advance(rows.stop - rows.start, note=name)
                return joined(found)

            return self._pool(measured)

    def _measure(self, name: str, rows: slice) -> Rows:
        numbers = tuple(range(rows.start, rows.stop))
        real = Chosen(self._real.clips, numbers)
        if name == REAL:
            return self._meter.measure(real).rows
        if name == DIVERSITY:
            samples = [Chosen(clips, numbers) for clips in self._sets.values()]
            context = self._protocol.context_frames
            return diversity(samples, self._metrics, context_frames=context)
        clips = Chosen(self._sets[name], numbers)
        return self._meter.measure(clips, real=real if self._paired else None).rows

    def _pool(self, read: Callable[[str], Rows]) -> FolderScores:
        """Give the figures, where `read` gives what was measured of a set."""
        real = Measured(shape=self._real.clips.shape, rows=read(REAL))
        warnings = suspicions("real clips", real.rows)
        sets, pairs = [], []
        for name, clips in self._sets.items():
            found = Measured(shape=clips.shape, rows=read(name))
            sets.append(score_sets(real, found, protocol=self._protocol, networks=self.networks))
            pairs.append(found.pairs(self._metrics) if self._paired else {})
            warnings += self._suspicions(name, found.rows)
        scored = sets[0] if len(sets) == 1 else mean_of_sets(sets, self._protocol)
        if self._paired:
            between = read(DIVERSITY) if DIVERSITY in self._counts else {}
            scored = with_pairs(
                scored, pairs, between, metrics=self._metrics, protocol=self._protocol
            )
            scored = replace(scored, absent=(*self._absent, *scored.absent))
        else:
            scored = replace(scored, per_clip={})  # nobody has the same clips to compare with
        if self._protocol.frames < SAFE_FRAMES:
            warnings.append(
                f"clips of {self._protocol.frames} frames: FVD is known from {SAFE_FRAMES} on"
            )
        return FolderScores(evaluation=scored, names=self._real.names, warnings=tuple(warnings))

    def _suspicions(self, name: str, rows: Rows) -> list[str]:
        clips, found = self._sets[name], dict(rows)
        for look in INSPECTED:  # Sentences number clips as their folder does.
            found[look] = np.empty_like(rows[look])
            found[look][list(clips.numbers)] = rows[look]
        told = "generated clips" if len(self._sets) == 1 else f"generated clips, {name}"
        sentences = suspicions(told, found)
        if len(clips) != len(self._real.names):
            sentences.append(
                f"{len(self._real.names)} real clips against {len(clips)}: a Frechet distance "
                "grows as clips get fewer, so give both sides as many"
            )
        return sentences


def _check(real: NamedClips, fakes: Sequence[NamedClips], *, paired: bool) -> None:
    for fake in fakes:
        _check_set(real, fake, paired=paired)
        if len(fake.names) != len(fakes[0].names):
            raise UserError(
                f"sets of samples hold {len(fakes[0].names)} and {len(fake.names)} clips; expected "
                "as many in each --fake, one sample of each condition"
            )


def _check_set(real: NamedClips, fake: NamedClips, *, paired: bool) -> None:
    if real.clips.shape[1:] != fake.clips.shape[1:]:
        raise UserError(
            f"real clips are {_told(real.clips)}, generated ones {_told(fake.clips)}; bring both "
            "to the same frames and pixels (--length, --size)"
        )
    if paired and set(real.names) != set(fake.names):
        alone = sorted(set(real.names) ^ set(fake.names))
        raise UserError(
            f"--paired: {len(alone)} clips are on one side alone, {alone[0]} for one; give the "
            "same names to clips that belong together"
        )


def _told(clips: Clips) -> str:
    _, frames, height, width, _ = clips.shape
    return f"{frames} frames of {width} x {height} pixels"


def _order(clips: NamedClips, names: Sequence[str] | None) -> tuple[int, ...]:
    """Give the numbers of clips in the order of their names; None keeps their own."""
    places = {name: number for number, name in enumerate(clips.names)}
    return tuple(places[name] for name in names or clips.names)
