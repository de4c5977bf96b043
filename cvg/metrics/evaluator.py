"""From samples to figures, in parts: each measures some clips of a set; joining pools them."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cvg.config import EvaluateParams
from cvg.critic.store import TrainedCritic, load_critic
from cvg.files import read_json, sha256_file
from cvg.frames.samples import HEADER, Samples, load_samples
from cvg.frames.store import FrameStore
from cvg.mapping.machine import computing
from cvg.metrics.candidates import REAL, RECONSTRUCTION, Candidates
from cvg.metrics.evaluate import Evaluation, common_fps, score_clips, score_sets
from cvg.metrics.features import FeatureCache, features_folder
from cvg.metrics.health import FIGURES, read_health
from cvg.metrics.measure import Measured, Meter, Rows
from cvg.metrics.networks import Networks, load_networks
from cvg.metrics.of_run import FiguresOfRun
from cvg.metrics.parts import Parts, write_part
from cvg.metrics.scores import Protocol
from cvg.metrics.suite import Suite, suite_of
from cvg.remote.url import Place
from cvg.training.device import chosen_device
from cvg.training.weights import saved_digest
from cvg.vqgan.model import Vqgan
from cvg.vqgan.store import load_vqgan, require_same_vqgan

CLIPS_SHOWN = 8
SHOWN = "shown"  # of the clips that are to be looked at, the frames


@dataclass(frozen=True, kw_only=True)
class Judges:
    """What clips are measured by, besides their pixels.

    Attributes:
        vqgan: of the run, on its device.
        networks: from `load_networks`.
        critic: of the run, on the same device; without one its figure is left out.
    """

    vqgan: Vqgan
    networks: Networks
    critic: TrainedCritic | None = None


@dataclass(frozen=True, kw_only=True)
class EvaluateWork:
    """The figures of samples, as work for several processes.

    Attributes:
        frames: folder or URL of the frame store.
        vqgan: folder of the VQGAN.
        transformers: folder with a folder for each level.
        samples: folder of the samples.
        critic: folder of the critic.
        health: folder of what check-vqgan wrote.
        settings: network of LPIPS, clips at once.
        seed: of the run.
    """

    frames: Place
    vqgan: Path
    transformers: Path
    samples: Path
    critic: Path
    health: Path
    settings: EvaluateParams
    seed: int

    def open(self) -> "Evaluator":
        """Open stores and models.

        Raises:
            UserError: one is missing or damaged, or they are not of the same VQGAN.
        """
        device = chosen_device()
        vqgan, vqgan_hash = load_vqgan(self.vqgan)
        samples = load_samples(self.samples)
        require_same_vqgan(samples.vqgan_hash, vqgan_hash, where=self.samples)
        critic = load_critic(self.critic)
        require_same_vqgan(critic.vqgan_hash, vqgan_hash, where=self.critic)
        critic.model.to(device)
        require_same_vqgan(read_health(self.health).vqgan_hash, vqgan_hash, where=self.health)
        networks = load_networks(
            lpips=self.settings.lpips,
            stage="evaluate",
            device=device,
            batch_size=self.settings.batch_size,
        )
        return Evaluator(
            FrameStore.open(self.frames),
            samples,
            Judges(vqgan=vqgan.to(device), networks=networks, critic=critic),
            seed=self.seed,
            hashes=self._hashes(vqgan_hash, vqgan.shape.levels),
        )

    def _hashes(self, vqgan_hash: str, levels: Sequence[str]) -> dict[str, str]:
        files = {"samples": self.samples / HEADER, "health": self.health / FIGURES}
        told = json.dumps(transformer_figures(self.transformers, levels))
        return {
            "vqgan": vqgan_hash,
            "critic": saved_digest(self.critic),
            "transformers": hashlib.sha256(told.encode()).hexdigest(),
        } | {name: sha256_file(path) for name, path in files.items()}


def transformer_figures(folder: Path, levels: Sequence[str]) -> dict[str, Any]:
    """Read the held-out figures of the transformers, which stand beside those of the clips.

    Raises:
        UserError: a file is missing or damaged.
    """
    return {level: read_json(folder / level / "figures.json")["held_out"] for level in levels}


class Evaluator:
    """Scores the samples of a run beside its baselines and controls, some clips at a time.

    Attributes:
        levels: of the VQGAN, whose transformers wrote the samples.
        inputs: the hashes of all that is read.
        sizes: clips of each part.
    """

    def __init__(
        self,
        store: FrameStore,
        samples: Samples,
        judges: Judges,
        *,
        seed: int,
        hashes: Mapping[str, str] | None = None,
    ) -> None:
        """Look at what is to be scored.

        Args:
            store: of real frames.
            samples: of the run.
            judges: what the clips are measured by.
            seed: of the run.
            hashes: of what is read, besides frames and networks.
        """
        vqgan, networks = judges.vqgan, judges.networks
        self.levels = vqgan.shape.levels
        self.inputs = {"data": store.digest, **networks.hashes(), **(hashes or {})}
        self._samples, self._networks = samples, networks
        self._protocol = _protocol(store, samples, seed=seed)
        self._candidates = Candidates(store, samples, vqgan, seed=seed)
        self._meter = Meter(
            networks=networks,
            cache=FeatureCache(features_folder()),
            context_frames=samples.context_frames,
        )
        self._of_run = FiguresOfRun(
            store, samples, self._protocol, vqgan=vqgan, critic=judges.critic
        )
        self._parts = Parts(self._candidates.counts)
        self.sizes = self._parts.sizes

    def machine(self) -> dict[str, Any]:
        """Give what of this machine shapes figures."""
        return computing()

    def measure(self, name: str, rows: slice) -> Rows:
        """Measure some clips of a set."""
        clips = self._candidates.clips(name, rows)
        is_paired = name in self._candidates.paired
        real = self._candidates.clips(REAL, rows) if is_paired else None
        found = self._meter.measure(clips, real=real).rows
        if is_paired or name == REAL:
            shown = [number - rows.start for number in self._shown() if number in _range(rows)]
            found |= self._of_run.measure(name, clips, rows) | {SHOWN: clips[shown]}
        return found

    def make(self, number: int, folder: Path, *, advance: Callable[[int], None]) -> None:
        """Write what is measured of the clips of a part into `folder`."""
        name, rows = self._parts[number]
        write_part(folder, self.measure(name, rows))
        advance(self.sizes[number])

    def join(self, parts: Sequence[Path]) -> Suite:
        """Give the figures from the folders of all parts, in order; one set is read at a time."""
        read = partial(self._parts.read, folders=parts)
        real, coded = self._measured(REAL, read(REAL)), read(RECONSTRUCTION)
        evaluations: dict[str, Evaluation] = {}
        pictures = {"chosen": np.array(self._shown()), "clips.truth": real.rows[SHOWN]}
        for name in self._candidates.counts:
            if name == REAL:
                continue
            found = self._measured(name, read(name))
            evaluations[name] = self._score(name, found, real, coded)
            if SHOWN in found.rows:
                pictures[f"clips.{name.rpartition('.')[2]}"] = found.rows[SHOWN]
        absent = [*self._networks.missing, *self._candidates.absent, *self._of_run.absent]
        return suite_of(evaluations, self._samples, pictures=pictures, absent=absent)

    def _measured(self, name: str, rows: Rows) -> Measured:
        count = self._candidates.counts[name]
        size = self._samples.frames.shape[2:]
        return Measured(shape=(count, self._candidates.frames, *size), rows=rows)

    def _score(self, name: str, found: Measured, real: Measured, coded: Rows) -> Evaluation:
        if name not in self._candidates.paired:
            return score_sets(real, found, protocol=self._protocol, networks=self._networks)
        evaluation = score_clips(
            real,
            found,
            protocol=self._protocol,
            networks=self._networks,
            videos=[clip.video for clip in self._samples.clips],
        )
        return self._of_run.add(name, evaluation, found.rows, real=real.rows, coded=coded)

    def _shown(self) -> list[int]:
        # Evenly spread, not chosen: neither the best nor the worst.
        total = len(self._samples.clips)
        count = min(CLIPS_SHOWN, total)
        return [(2 * i + 1) * total // (2 * count) for i in range(count)]


def _range(rows: slice) -> range:
    return range(rows.start, rows.stop)


def _protocol(store: FrameStore, samples: Samples, *, seed: int) -> Protocol:
    return Protocol(
        split="held_out",
        clips=len(samples.clips),
        frames=samples.frames.shape[1] - samples.goal,
        goal=samples.goal,
        context_frames=samples.context_frames,
        size=samples.frames.shape[2],
        fps=common_fps(store.segments("held_out")),
        seed=seed,
    )
