"""What each part of the VQGAN is worth: variants of the demo's, each given the same time.

    python -m benchmarks.ablation            # queue, run one after the other, write the table
    python -m benchmarks.ablation --table    # only gather what has run

Each row is a DVC experiment that ends at `check_vqgan`, so `dvc exp show` has it too; those that
have run already at this commit are not run again, and whatever else is in DVC's queue runs with
them. It needs the pretrained networks (`cvg weights fetch`), takes over an hour, and overwrites
reports/ablation.csv. Leave the machine alone meanwhile: rows are compared at equal wall time.
"""

import argparse
import csv
import json
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from cvg.metrics.names import flat_figures

TABLE = Path("reports/ablation.csv")
PREFIX = "ablation"
SETTINGS = {"vqgan.steps": 100_000}  # time ends every run
# What all variants start from; the default has a lower share since this comparison showed that it
# is better.
BASE = {"vqgan.bottom_drop": 0.25}
LEVELS = ("top", "middle", "bottom")
FIGURES = {  # column of the table: dotted name in reports/vqgan/figures.json
    "psnr": "vqgan.psnr",
    "ssim": "vqgan.ssim",
    "lpips": "vqgan.lpips",
    **{f"psnr_{level}": f"vqgan.psnr_{level}" for level in LEVELS[:-1]},
    **{f"usage_{level}": f"codes.{level}.usage" for level in LEVELS},
    **{f"perplexity_{level}": f"codes.{level}.perplexity" for level in LEVELS},
}
METRICS = ("data/vqgan/health.json", "reports/vqgan/figures.json")


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A row of the table: what differs from `BASE`, and with it from params.yaml."""

    key: str
    name: str
    changes: dict[str, object] = field(default_factory=dict)
    seeds: int = 1


DISCRIMINATOR = {"vqgan.discriminator.enabled": "true", "vqgan.discriminator.start_step": 300}
VARIANTS = (
    Variant(key="base", name="two levels, EMA, comparator, bottom dropped for 25 %", seeds=3),
    Variant(
        key="drop-10",
        name="bottom dropped for 10 % (the default)",
        changes={"vqgan.bottom_drop": 0.1},
        seeds=3,
    ),
    Variant(
        key="one-level",
        name="one level of 8x8, 1024 codes: as many bits a frame",
        changes={"vqgan.levels": "[bottom]", "vqgan.codebook_size": 1024},
        seeds=2,
    ),
    Variant(
        key="three-levels",
        name="three levels: 2x2, 4x4, 8x8",
        changes={"vqgan.levels": "[top,middle,bottom]"},
    ),
    Variant(key="fsq", name="FSQ 8x8x4", changes={"vqgan.quantizer": "fsq"}, seeds=2),
    Variant(
        key="normalize", name="codes of length 1", changes={"vqgan.normalize": "true"}, seeds=2
    ),
    Variant(key="no-comparator", name="no comparator", changes={"vqgan.comparator": "none"}),
    Variant(
        key="comparator-all",
        name="comparator on every frame",
        changes={"vqgan.comparator_share": 1.0},
        seeds=2,
    ),
    Variant(
        key="vgg",
        name="comparator VGG16 on an eighth",
        changes={"vqgan.comparator": "vgg", "vqgan.comparator_share": 0.125},
    ),
    Variant(
        key="discriminator",
        name="discriminator from step 300 on",
        changes=DISCRIMINATOR,
        seeds=2,
    ),
    Variant(
        key="absurd",
        name="discriminator with weight 100, uncapped",
        changes=DISCRIMINATOR
        | {"vqgan.discriminator.weight": 100.0, "vqgan.discriminator.max_adaptive": 10000.0},
    ),
    Variant(
        key="no-drop", name="bottom never dropped", changes={"vqgan.bottom_drop": 0.0}, seeds=2
    ),
    Variant(key="width-96", name="96 channels", changes={"vqgan.width": 96}, seeds=2),
    Variant(
        key="full-resolution",
        name="full resolution, 48 channels, no stem",
        changes={
            "vqgan.stem": 1,
            "vqgan.halvings": 3,
            "vqgan.width": 48,
            "vqgan.warmup_steps": 10,
            "vqgan.validate_every": 20,
        },
    ),
)


DVC = shutil.which("dvc", path=Path(sys.executable).parent) or "dvc"


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What DVC keeps of a run."""

    steps: int
    figures: dict[str, float]  # by dotted name
    params: dict[str, dict]  # params.yaml
    date: str


def dvc(*words: str) -> str:
    """Run DVC, and give what it prints."""
    return subprocess.run([DVC, *words], check=True, stdout=subprocess.PIPE, text=True).stdout


def queue(variants: tuple[Variant, ...], *, minutes: float) -> None:
    """Put one experiment a seed of each variant into DVC's queue, but for those that have run."""
    known = dvc("exp", "list", "--name-only").split()
    # A seed of all variants, then the next: a machine whose speed drifts is unfair to none.
    for seed in range(max(variant.seeds for variant in variants)):
        for variant in variants:
            if seed >= variant.seeds:
                continue
            name = f"{PREFIX}-{variant.key}-{seed}"
            if name in known:
                print(f"{name}: has run already at this commit (`dvc exp remove` forgets it)")
                continue
            settings = SETTINGS | {"vqgan.max_minutes": minutes, "seed": seed}
            settings |= BASE | variant.changes
            sets = [word for key, value in settings.items() for word in ("-S", f"{key}={value}")]
            dvc("exp", "run", "--queue", "-n", name, *sets, "check_vqgan")


def experiments() -> dict[str, Experiment]:
    """Give what has run of the ablation, by name; at several commits, the newest counts."""
    found: dict[str, Experiment] = {}
    for baseline in json.loads(dvc("exp", "show", "--json", "--all-commits")):
        for experiment in baseline.get("experiments") or []:
            revision = experiment["revs"][0]
            name = experiment.get("name") or revision.get("name") or ""
            data = revision.get("data") or {}
            metrics = data.get("metrics") or {}
            training, checked = (metrics.get(path, {}).get("data") for path in METRICS)
            if name.startswith(f"{PREFIX}-") and training and checked:
                found.setdefault(
                    name,
                    Experiment(
                        steps=training["steps"],
                        figures=flat_figures(checked),
                        params=data["params"]["params.yaml"]["data"],
                        date=data["timestamp"][:10],
                    ),
                )
    return found


def rows() -> list[dict[str, object]]:
    """Give a row for each variant that has run: means over its seeds."""
    found = experiments()
    table = []
    for variant in VARIANTS:
        names = [f"{PREFIX}-{variant.key}-{seed}" for seed in range(variant.seeds)]
        runs = [found[name] for name in names if name in found]
        if runs:
            table.append(row_of(variant, runs))
    return table


def row_of(variant: Variant, runs: list[Experiment]) -> dict[str, object]:
    """Give one row: means over the runs, and how far apart their LPIPS lie."""
    params = runs[0].params
    minutes = params["vqgan"]["max_minutes"]
    steps = statistics.mean(run.steps for run in runs)
    row: dict[str, object] = {
        "name": variant.name,
        "seeds": len(runs),
        "steps_per_s": f"{steps / (60 * minutes):.2f}",
    }
    for column, figure in FIGURES.items():
        values = [run.figures[figure] for run in runs if figure in run.figures]
        row[column] = f"{statistics.mean(values):.4g}" if values else ""
        if column == "lpips":
            row["lpips_spread"] = f"{max(values) - min(values):.2g}" if len(values) > 1 else ""
    return row | {
        "codebook_size": params["vqgan"]["codebook_size"],
        "minutes": minutes,
        "steps": round(steps),
        "changed": " ".join(f"{k}={v}" for k, v in (BASE | variant.changes).items()),
        "manifest": params["extract"]["manifest"],
        "date": max(run.date for run in runs),
    }


def write(table: list[dict[str, object]]) -> None:
    """Write the table for the report page, and print it as Markdown."""
    if not table:
        sys.exit(f"no experiment called {PREFIX}-... has run; {TABLE} is as it was")
    with TABLE.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    shown = [name for name in table[0] if name not in ("changed", "manifest", "date", "minutes")]
    shown = [name for name in shown if any(row[name] != "" for row in table)]
    print("| " + " | ".join(shown) + " |\n|" + "---|" * len(shown))
    for row in table:
        print("| " + " | ".join(str(row[name]) for name in shown) + " |")
    print(f"written: {TABLE}")


def main() -> None:
    """Queue, run, gather."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    keys = [variant.key for variant in VARIANTS]
    parser.add_argument("--minutes", type=float, default=2.0, help="of training, for every run")
    parser.add_argument("--only", nargs="*", choices=keys, help="variants to run")
    parser.add_argument("--table", action="store_true", help="only gather what has run")
    options = parser.parse_args()
    if not options.table:
        chosen = tuple(v for v in VARIANTS if not options.only or v.key in options.only)
        queue(chosen, minutes=options.minutes)
        subprocess.run([DVC, "exp", "run", "--run-all", "--jobs", "1"], check=True)
    write(rows())


if __name__ == "__main__":
    main()
