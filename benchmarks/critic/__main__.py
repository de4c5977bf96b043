"""What the critic tells apart, and what its three uses change: on moving shapes, with controls.

    python -m benchmarks.critic DIR                # make, train, study: about two hours
    python -m benchmarks.critic DIR --study        # the study alone, on what was trained in DIR
    python -m benchmarks.critic DIR --asked        # is the motion that is asked for what comes?

Trains a VQGAN and transformers for some minutes, which leaves room for improvement, and critics of
pixels, of codes, and of single frames as a control. Then each way of fine-tuning is given the same
time, and so is plain training, for three seeds; steps are counted from measured costs, so that what
else the machine does changes no result. Everything is judged by what was in no loop: a critic that
begins from nothing, FVD, LPIPS, the oracle that reads shapes, and how much changes from frame to
frame. Writes `DIR/critics.json`, `DIR/study.csv`, and with --table the means over seeds.
"""

import argparse
import csv
import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.critic.judge import Judge
from benchmarks.fidelity.__main__ import Place, train
from benchmarks.measure import machine
from cvg.config import Params
from cvg.critic.store import load_critic
from cvg.files import read_json, write_json
from cvg.finetuning.train import Settings, finetune
from cvg.frames.store import FrameStore
from cvg.metrics.networks import load_networks
from cvg.params import load_params
from cvg.sampling.models import Models, load_models, open_codes
from cvg.shapes.scene import Borders
from cvg.training.device import chosen_device
from cvg.training.loop import Surroundings
from cvg.training.runtime import chosen_runtime

BASE: dict[str, object] = {
    "vqgan.max_minutes": 3.0,
    "transformer.top.max_minutes": 4.0,
    "transformer.bottom.max_minutes": 2.0,
    "critic.shift": 0,
    "sample.temperature": 1.0,
    "sample.top_p": 1.0,
    "sample.packing": "fp32",
    "finetune.enabled": True,
    "finetune.levels": "[top]",
    "finetune.own_clips": 96,
    "finetune.batch_size": 8,
    "finetune.muon_scale": 2.5,
    "finetune.ema_decay": 0.99,
}
CRITICS: dict[str, dict[str, object]] = {
    "codes": {"input": "codes"},
    "codes of one frame": {"input": "codes", "frames": 1},
    "pixels": {"input": "pixels", "steps": 700},
    "codes, told nothing": {"input": "codes", "conditions": "[]"},
}
JUDGE = "codes"  # the critic that teaches and chooses
SECONDS = 100.0  # of fine-tuning, the writing of own samples included
WAYS: dict[str, dict[str, object]] = {
    "plain training": {"weight": 0.0},
    "teach": {"method": "teach", "weight": 0.2, "max_ratio": 0.3},
    "reward": {"method": "reward", "weight": 1.0},
}
SEEDS = (0, 1, 2)
BEST_OF = 4


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a way of fine-tuning costs."""

    start: float  # seconds before the first step
    step: float  # seconds
    peak: float  # of the memory of the process until then, MB


def place_of(root: Path, changes: Mapping[str, object]) -> Place:
    """Give the place of a run with some values."""
    return Place(root=root, size=32, changes={**BASE, **changes})


def train_critics(place: Place) -> dict[str, dict[str, float]]:
    """Train all critics; give the areas under their curves."""
    found = {}
    for name, changes in CRITICS.items():
        folder = place.root / "critics" / name.replace(" ", "_").replace(",", "")
        own = place_of(place.root, {f"critic.{key}": value for key, value in changes.items()})
        own.run(
            "train-critic",
            codes=place.root / "codes",
            vqgan=place.root / "vqgan",
            out=folder,
            plot=folder.with_suffix(".csv"),
        )
        found[name] = read_json(folder / "figures.json")
        print(name, {key: round(value, 3) for key, value in found[name].items()}, flush=True)
    return found


class Study:
    """Base models, and what ways of fine-tuning make of them."""

    def __init__(self, place: Place) -> None:
        """Load everything."""
        self._place, self._root = place, place.root
        self._critic = place.root / "critics" / JUDGE
        self.base = self._models(place.root / "transformer")
        self._codes = open_codes(place.root / "codes", self.base)
        networks = load_networks(lpips="alex", stage="evaluate", device=chosen_device())
        self.judge = Judge(FrameStore.open(place.root / "frames"), self._codes, networks)

    def cost(self, way: str) -> Cost:
        """Measure a way: two short runs, so that what comes before the first step is left out."""
        self._tune(way, seed=0, steps=2, own_clips=4)  # the first run of a process is slow
        seconds = []
        for steps in (4, 16):
            start = time.perf_counter()
            self._tune(way, seed=0, steps=steps, own_clips=4)
            seconds.append(time.perf_counter() - start)
        step = (seconds[1] - seconds[0]) / 12
        start = time.perf_counter()
        self._tune(way, seed=0, steps=1)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        begin = time.perf_counter() - start - (seconds[0] - 4 * step) - step
        return Cost(start=max(0.0, begin), step=step, peak=peak)

    def rows(self, costs: Mapping[str, Cost]) -> Iterator[dict[str, object]]:
        """Tune and judge, seed by seed, so that an end before the end leaves whole seeds."""
        for seed in SEEDS:
            yield self._judged("before", self.base, seed, self._entropy(self._root / "transformer"))
            for way, cost in costs.items():
                steps = max(1, int((SECONDS - cost.start) / cost.step))
                run = self._tune(way, seed=seed, steps=steps)
                models = replace(self.base, transformers=run.transformers)
                extra = {"nll_top": run.trained.best["nll_top"], "steps": run.trained.best_step}
                yield self._judged(way, models, seed, extra)
            best = {**self._entropy(self._root / "transformer")}
            yield self._judged(f"before, best of {BEST_OF}", self.base, seed, best, best_of=BEST_OF)

    def asked(self) -> Iterator[tuple[str, dict[str, float]]]:
        """Ask for each class of motion: alone, chosen by the critic, and with the measure."""
        for name, best_of, weight in (
            ("alone", 1, 0.0),
            ("critic", BEST_OF, 0.0),
            ("both", BEST_OF, 5.0),
        ):
            settings = self._params({}).sample.model_copy(
                update={"context_frames": 4, "best_of": best_of, "motion_weight": weight}
            )
            found = [self.judge.asked(self.base, settings, seed=seed) for seed in SEEDS]
            yield name, {key: float(np.mean([one[key] for one in found])) for key in found[0]}

    def _judged(
        self,
        way: str,
        models: Models,
        seed: int,
        extra: Mapping[str, float],
        *,
        best_of: int = 1,
    ) -> dict[str, object]:
        settings = self._params({}).sample.model_copy(
            update={"context_frames": 4, "best_of": best_of}
        )
        found = self.judge.figures(models, settings, seed=seed, long=seed == SEEDS[0])
        return {"way": way, "seed": seed, **extra, **found}

    def _tune(self, way: str, *, seed: int, steps: int, own_clips: int | None = None):
        changes: dict[str, object] = {f"finetune.{k}": v for k, v in WAYS[way].items()}
        changes |= {
            "finetune.steps": steps,
            "finetune.warmup_steps": min(10, steps - 1),
            "finetune.validate_every": max(1, steps // 4),
        }
        if own_clips is not None:  # a short run, whose steps are timed
            changes |= {"finetune.own_clips": own_clips, "finetune.validate_every": steps}
        params = self._params(changes)
        around = Surroundings(
            learning_rate=params.lr * params.finetune.lr_scale,
            seed=seed,
            runtime=chosen_runtime(),
            log=_tell_nobody,
        )
        settings = Settings(
            finetune=params.finetune, transformer=params.transformer, draw=params.sample
        )
        return finetune(self._codes, self.base, load_critic(self._critic), settings, around)

    def _params(self, changes: Mapping[str, object]) -> Params:
        return load_params(Path("params.yaml"), place_of(self._root, changes).settings())

    def _models(self, transformers: Path) -> Models:
        return load_models(
            vqgan=self._root / "vqgan",
            transformers=transformers,
            critic=self._critic,
            device=chosen_device(),
        )

    @staticmethod
    def _entropy(folder: Path) -> dict[str, float]:
        return {"nll_top": read_json(folder / "top/figures.json")["held_out"]["nll"], "steps": 0}


def _tell_nobody(_figures: Mapping[str, float], _step: int) -> None:
    """Log nothing."""


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows as CSV."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def means(rows: Sequence[Mapping[str, object]]) -> list[dict[str, str]]:
    """Give each way's mean over seeds, and their range where there are several."""
    result = []
    names = list(dict.fromkeys(name for row in rows for name in row if name not in ("way", "seed")))
    for way in dict.fromkeys(str(row["way"]) for row in rows):
        own = [row for row in rows if row["way"] == way]
        line = {"way": way}
        for name in names:
            values = [float(str(row[name])) for row in own if name in row]
            line[name] = _told(values)
        result.append(line)
    return result


def _told(values: Sequence[float]) -> str:
    if not values:
        return "–"
    mean = f"{np.mean(values):.3g}"
    if len(values) < 2 or max(values) == min(values):
        return mean
    return f"{mean} ({min(values):.3g} to {max(values):.3g})"


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--study", action="store_true", help="train no base and no critics")
    parser.add_argument("--asked", action="store_true", help="the motion that is asked, alone")
    parser.add_argument("--table", type=Path, metavar="CSV", help="write the means over seeds")
    arguments = parser.parse_args()
    place = place_of(arguments.folder, {})
    if arguments.asked:
        for name, figures in Study(place).asked():
            print(name, {key: round(value, 3) for key, value in figures.items()}, flush=True)
        return
    if not arguments.study:
        if not (place.root / "transformer/bottom").is_dir():
            train(place, borders=Borders.WRAP, control_of=None)
        write_json(place.root / "critics.json", train_critics(place))
    study, rows = Study(place), []
    costs = {way: study.cost(way) for way in WAYS}
    for way, cost in costs.items():
        print(f"{way}: {cost.start:.0f} s, then {cost.step:.2f} s a step; {cost.peak:.0f} MB")
    print(f"real clips, all frames right: {study.judge.ceiling(study.base):.3f}", flush=True)
    for row in study.rows(costs):
        rows.append(row)
        told = {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}
        print(told, flush=True)
        write_rows(place.root / "study.csv", rows)
        if arguments.table is not None:
            write_rows(arguments.table, means(rows))
    print(machine())


if __name__ == "__main__":
    main()
