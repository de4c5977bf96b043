"""Do videos show what they were told? All stages on moving shapes, read back by the exact oracle.

    python -m benchmarks.fidelity DIR                      # make, train, score: about 35 minutes
    python -m benchmarks.fidelity DIR --score              # score what was trained in DIR
    python -m benchmarks.fidelity DIR --size 64 --borders bounce
    python -m benchmarks.fidelity DIR --shuffled OTHER     # control: conditions of other clips

Sampling settings are chosen for each figure on half of the held-out clips, or on other videos, and
scored once on the other half; maps take the settings of captions, and the curve of guidance is of
the half that settings were chosen on. The control takes the VQGAN of OTHER, and trains transformers
on clips with each other's conditions. Leave the machine alone meanwhile: training is bounded by
time. CVG_PRECISION=bf16 helps where the processor has instructions for it.
"""

import argparse
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.fidelity.data import make
from benchmarks.fidelity.score import (
    LONG,
    MOST_CLIPS,
    Scorer,
    Share,
    bare,
    captioned,
    with_guidance,
)
from benchmarks.measure import machine
from cvg.codes.store import CodeStore
from cvg.conditions.condition import Condition, Kind
from cvg.config import SampleParams
from cvg.files import write_json
from cvg.frames.store import FrameStore
from cvg.params import load_params
from cvg.sampling.generator import Generator
from cvg.sampling.models import load_models
from cvg.segments import Segment
from cvg.shapes.scene import Borders
from cvg.training.device import chosen_device

# What differs from the committed params.yaml: no comparator where pictures are flat, more codes, a
# top that carries the picture and a bottom that says little (docs/vqgan.md), conditions that are
# mostly missing but for the caption, and longer training.
SETTINGS: dict[str, object] = {
    "extract.shots": "none",
    "vqgan.shift": 2,
    "vqgan.codebook_size": 512,
    "vqgan.fsq_levels": "[8,8,8]",
    "vqgan.comparator": "none",
    "vqgan.lr_scale": 2,
    "vqgan.rate_weight.top": 0.1,
    "vqgan.rate_weight.bottom": 2.0,
    "vqgan.bottom_drop": 0.7,
    "vqgan.steps": 100_000,  # time ends the training, here and below
    "vqgan.max_minutes": 5.0,
    "vqgan.validate_every": 1000,
    "transformer.conditions.motion_buckets": 5,
    "transformer.conditions.dropout.caption": 0.3,
    "transformer.conditions.dropout.label": 0.7,
    "transformer.conditions.dropout.motion": 0.7,
    "transformer.conditions.dropout.actions": 0.5,
    "transformer.conditions.dropout.map": 0.8,
}
LEVEL_SETTINGS: dict[str, object] = {
    "dropout": 0.0,
    "lr_scale": 2,
    "muon_scale": 2.5,
    "warmup_steps": 100,
    "ema_decay": 0.995,
    "steps": 100_000,
    "validate_every": 500,
    "first_frame_weight": 2.0,
}
MINUTES = {"top": 12.0, "bottom": 4.0}
TEMPERATURES = (1.0, 0.8, 0.6)
SCALES = (1.0, 2.0)  # of guidance, tried with each temperature
CALM_TO_LIVELY = 40  # videos a bucket of motion
GUIDANCE = (0.0, 1.0, 1.5, 2.0, 3.0)  # of the curve


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where everything of a run lies, and what differs from the values of this benchmark."""

    root: Path
    size: int
    changes: Mapping[str, object] = field(default_factory=dict)

    def settings(self) -> list[str]:
        """Give the values that differ, as `--set` takes them."""
        values = SETTINGS | {
            "extract.manifest": self.root / "shapes/manifest.csv",
            "extract.frame_size": self.size,
            # As many codes whatever the size, so that the transformers cost the same.
            "vqgan.stem": 2 * self.size // 32,
        }
        for level, minutes in MINUTES.items():
            own = LEVEL_SETTINGS | {"max_minutes": minutes}
            values |= {f"transformer.{level}.{key}": value for key, value in own.items()}
        return [f"{key}={value}" for key, value in (values | self.changes).items()]

    def run(self, command: str, *options: str, **paths: Path) -> None:
        """Run a stage with these values."""
        words = [sys.executable, "-m", "pipeline", command, *options]
        for name, path in paths.items():
            words += [f"--{name}", str(path)]
        for value in self.settings():
            words += ["--set", value]
        environment = os.environ | {"CVG_TRACKING": "off"}
        subprocess.run(words, check=True, env=environment)


def train(place: Place, *, borders: Borders, control_of: Path | None) -> float:
    """Run all stages from nothing; give the seconds that they took."""
    root, start = place.root, time.monotonic()
    make(root / "shapes", size=place.size, borders=borders, shuffled=control_of is not None)
    manifest = root / "shapes/manifest.csv"
    place.run("extract", manifest=manifest, out=root / "frames")
    vqgan = root / "vqgan"
    if control_of is None:
        place.run("train-vqgan", frames=root / "frames", out=vqgan, plot=root / "vqgan.csv")
    else:
        vqgan = control_of / "vqgan"
    place.run("tokenize", frames=root / "frames", vqgan=vqgan, out=root / "codes")
    for level in MINUTES:
        place.run(
            "train-transformer",
            f"--level={level}",
            codes=root / "codes",
            out=root / "transformer" / level,
            plot=root / f"{level}.csv",
        )
    return time.monotonic() - start


def score(place: Place, vqgan: Path, *, borders: Borders) -> dict[str, object]:
    """Score everything; print as it comes."""
    root = place.root
    params = load_params(Path("params.yaml"), place.settings())
    models = load_models(vqgan=vqgan, transformers=root / "transformer", device=chosen_device())
    frames, codes = FrameStore.open(root / "frames"), CodeStore.open(root / "codes")
    scorer = Scorer(Generator(models, params.sample), frames, codes, borders=borders)
    tuning, seen = _halves(scorer.seen)
    result: dict[str, object] = {}
    chosen = _choose(result, "generate", params.sample, "caption", partial(scorer.wrongs, tuning))
    tell(result, "generate, seen", scorer.generate(seen[:MOST_CLIPS], chosen))
    tell(result, "generate, unseen", scorer.generate(scorer.unseen[:MOST_CLIPS], chosen))
    long = scorer.generate(seen[: MOST_CLIPS // 4], chosen, frames=LONG)
    tell(result, f"frame {LONG - 1} right", long["last frame right"])
    _score_predict(result, scorer, (tuning, seen[:MOST_CLIPS]), params.sample)
    _score_actions(result, scorer, params.sample)
    followed, chance = scorer.overlap(scorer.turning[:60], chosen)
    tell(result, "map, IoU", followed)
    tell(result, "map of another clip, IoU", chance)
    _score_motion(result, scorer, params.sample)
    _score_guidance(result, scorer, tuning, chosen)
    return result


def _halves(segments: Sequence[Segment]) -> tuple[list[Segment], list[Segment]]:
    """Give one half to choose settings on, and one to score."""
    mixed = random.Random(0).sample(segments, len(segments))
    return mixed[: len(mixed) // 2], mixed[len(mixed) // 2 :]


def _choose(
    result: dict[str, object],
    figure: str,
    settings: SampleParams,
    kind: Kind | None,
    cost: Callable[[SampleParams], float],
) -> SampleParams:
    """Give the settings of least cost, of some temperatures and scales of guidance of a kind.

    A cost that is not a number, as a correlation with what never changes is, is the greatest.
    """
    variants: dict[str, SampleParams] = {}
    for temperature in TEMPERATURES:
        warm = settings.model_copy(update={"temperature": temperature})
        if kind is None:
            variants[f"temperature {temperature:g}"] = warm
            continue
        for scale in SCALES:
            name = f"temperature {temperature:g}, {kind} guidance {scale:g}"
            variants[name] = with_guidance(warm, **{kind: scale})
    costs = {name: cost(variant) for name, variant in variants.items()}
    best = min(costs, key=lambda name: math.inf if math.isnan(costs[name]) else costs[name])
    result[f"{figure}, cost while choosing"] = _written(costs)
    tell(result, f"{figure}, chosen", best)
    return variants[best]


def _score_predict(
    result: dict[str, object],
    scorer: Scorer,
    halves: tuple[list[Segment], list[Segment]],
    settings: SampleParams,
) -> None:
    """Score what follows two frames, with and without a caption."""
    tuning, scored = halves
    kinds: tuple[tuple[str, Callable[[Segment], Condition], Kind | None], ...] = (
        ("predict with caption", captioned, "caption"),
        ("predict without caption", bare, None),
    )
    for name, tells, kind in kinds:
        error = partial(scorer.last_error, tells=tells, given=2)
        chosen = _choose(result, name, settings, kind, partial(error, tuning))
        tell(result, f"{name}, px at frame 15", error(scored, chosen))


def _score_actions(result: dict[str, object], scorer: Scorer, settings: SampleParams) -> None:
    """Score where actions lead from a first frame."""
    tuning, scored = _halves(scorer.turning)
    error = partial(scorer.last_error, tells=scorer.acted, given=1)
    chosen = _choose(result, "actions", settings, "actions", partial(error, tuning))
    tell(result, "actions, px at frame 15", error(scored, chosen))
    without = scorer.last_error(scored, chosen, tells=captioned, given=1)
    tell(result, "no actions, px at frame 15", without)


def _score_motion(result: dict[str, object], scorer: Scorer, settings: SampleParams) -> None:
    """Score whether calm and lively videos are so."""

    def cost(variant: SampleParams) -> float:
        return -scorer.motion(variant, name="tuning", by_bucket=CALM_TO_LIVELY // 2)[0]

    chosen = _choose(result, "motion", settings, "motion", cost)
    correlation, means = scorer.motion(chosen, name="motion", by_bucket=CALM_TO_LIVELY)
    tell(result, "motion, Spearman", correlation)
    tell(result, "motion by bucket, grey levels", means)


def _score_guidance(
    result: dict[str, object], scorer: Scorer, tuning: list, settings: SampleParams
) -> None:
    for scale in GUIDANCE:
        found = scorer.generate(tuning, with_guidance(settings, caption=scale))
        for name in ("shape, colour, direction", "all frames right"):
            tell(result, f"caption guidance {scale:g}, {name}", found[name])


def tell(result: dict[str, object], name: str, value: object) -> None:
    """Keep a figure, and print it."""
    result[name] = _written(value)
    if isinstance(value, dict):
        for part, share in value.items():
            print(f"{name}: {part}: {share}", flush=True)
    else:
        print(f"{name}: {value}", flush=True)


def _written(value: object) -> object:
    if isinstance(value, Share):
        return asdict(value) | {"interval": value.interval}
    if isinstance(value, dict):
        return {name: _written(part) for name, part in value.items()}
    # Infinitely far is what is not seen; JSON has no word for it.
    return None if isinstance(value, float) and not math.isfinite(value) else value


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--borders", choices=[b.value for b in Borders], default="wrap")
    parser.add_argument("--shuffled", type=Path, metavar="OTHER")
    parser.add_argument("--score", action="store_true", help="train nothing")
    arguments = parser.parse_args()
    place = Place(root=arguments.folder, size=arguments.size)
    borders = Borders(arguments.borders)
    if not arguments.score:
        seconds = train(place, borders=borders, control_of=arguments.shuffled)
        print(f"all stages: {seconds / 60:.1f} minutes; {machine()}", flush=True)
    vqgan = (arguments.shuffled or arguments.folder) / "vqgan"
    write_json(place.root / "fidelity.json", score(place, vqgan, borders=borders))


if __name__ == "__main__":
    main()
