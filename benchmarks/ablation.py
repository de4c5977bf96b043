"""What each part of the VQGAN is worth: variants of the demo's, each given the same time.

    python -m benchmarks.ablation            # queue, run one after the other, write the table
    python -m benchmarks.ablation --table    # only gather what has run

Each row is a DVC experiment that ends at `check_vqgan`, so `dvc exp show` has it too. Leave the
machine alone meanwhile: rows are compared at equal wall time.
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

TABLE = Path("reports/ablation.csv")
PREFIX = "ablation"
SETTINGS = {"vqgan.steps": 100_000}  # time ends every run
FIGURES = {  # column of the table: dotted name in reports/vqgan/figures.json
    "psnr": "vqgan.psnr",
    "ssim": "vqgan.ssim",
    "lpips": "vqgan.lpips",
    "psnr_top": "vqgan.psnr_top",
    "usage_top": "codes.top.usage",
    "usage_bottom": "codes.bottom.usage",
    "perplexity_top": "codes.top.perplexity",
    "perplexity_bottom": "codes.bottom.perplexity",
}


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A row of the table: what differs from params.yaml."""

    key: str
    name: str
    changes: dict[str, object] = field(default_factory=dict)
    seeds: int = 1


VARIANTS = (
    Variant(key="base", name="default: two levels, EMA, comparator", seeds=3),
    Variant(
        key="one-level",
        name="one level of 8x8, 1024 codes: as many bits a frame",
        changes={"vqgan.levels": "[bottom]", "vqgan.codebook_size": 1024},
        seeds=2,
    ),
    Variant(key="fsq", name="FSQ 8x8x4", changes={"vqgan.quantizer": "fsq"}, seeds=2),
    Variant(
        key="no-comparator", name="no comparator", changes={"vqgan.comparator": "none"}, seeds=2
    ),
    Variant(
        key="discriminator",
        name="discriminator from step 150 on",
        changes={"vqgan.discriminator.enabled": "true", "vqgan.discriminator.start_step": 150},
        seeds=2,
    ),
    Variant(
        key="no-drop", name="bottom never dropped", changes={"vqgan.bottom_drop": 0.0}, seeds=2
    ),
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
    Variant(
        key="absurd",
        name="discriminator with weight 100, uncapped",
        changes={
            "vqgan.discriminator.enabled": "true",
            "vqgan.discriminator.start_step": 150,
            "vqgan.discriminator.weight": 100.0,
            "vqgan.discriminator.max_adaptive": 10000.0,
        },
    ),
    Variant(
        key="comparator-all",
        name="comparator on every frame",
        changes={"vqgan.comparator_share": 1.0},
        seeds=2,
    ),
    Variant(key="normalize", name="codes of length 1", changes={"vqgan.normalize": "true"}),
    Variant(
        key="three-levels",
        name="three levels: 2x2, 4x4, 8x8",
        changes={"vqgan.levels": "[top,middle,bottom]"},
    ),
    Variant(
        key="vgg",
        name="comparator VGG16 on an eighth",
        changes={"vqgan.comparator": "vgg", "vqgan.comparator_share": 0.125},
    ),
)


DVC = shutil.which("dvc", path=Path(sys.executable).parent) or "dvc"


def dvc(*words: str) -> str:
    """Run DVC, and give what it prints."""
    return subprocess.run([DVC, *words], check=True, stdout=subprocess.PIPE, text=True).stdout


def queue(variants: tuple[Variant, ...], *, minutes: float) -> None:
    """Put one experiment a seed of each variant into DVC's queue."""
    for variant in variants:
        for seed in range(variant.seeds):
            settings = SETTINGS | {"vqgan.max_minutes": minutes, "seed": seed} | variant.changes
            sets = [word for key, value in settings.items() for word in ("-S", f"{key}={value}")]
            dvc(
                "exp",
                "run",
                "--queue",
                "-n",
                f"{PREFIX}-{variant.key}-{seed}",
                *sets,
                "check_vqgan",
            )


def metrics_by_experiment() -> dict[str, dict[str, float]]:
    """Give the flat figures of each experiment of the ablation that has run."""
    found = {}
    for baseline in json.loads(dvc("exp", "show", "--json", "--all-commits")):
        for experiment in baseline.get("experiments") or []:
            revision = experiment["revs"][0]
            name = experiment.get("name") or revision.get("name") or ""
            files = (revision.get("data") or {}).get("metrics") or {}
            if name.startswith(f"{PREFIX}-") and files:
                found[name] = flat({p: f.get("data") or {} for p, f in files.items()})
    return found


def flat(files: dict[str, dict]) -> dict[str, float]:
    """Join the figures of all files under dotted names."""
    joined: dict[str, float] = {}

    def walk(tree: dict, prefix: str) -> None:
        for key, value in tree.items():
            if isinstance(value, dict):
                walk(value, f"{prefix}{key}.")
            elif isinstance(value, int | float):
                joined[prefix + key] = value

    for tree in files.values():
        walk(tree, "")
    return joined


def rows(variants: tuple[Variant, ...], *, minutes: float) -> list[dict[str, object]]:
    """Give a row for each variant that has run: means over its seeds."""
    experiments = metrics_by_experiment()
    table = []
    for variant in variants:
        names = [f"{PREFIX}-{variant.key}-{seed}" for seed in range(variant.seeds)]
        runs = [experiments[name] for name in names if name in experiments]
        if not runs:
            continue
        steps = statistics.mean(run["steps"] for run in runs)
        row: dict[str, object] = {
            "name": variant.name,
            "changed": " ".join(f"{key}={value}" for key, value in variant.changes.items()),
            "seeds": len(runs),
            "minutes": minutes,
            "steps": round(steps),
            "steps_per_s": f"{steps / (60 * minutes):.2f}",
        }
        for column, figure in FIGURES.items():
            values = [run[figure] for run in runs if figure in run]
            row[column] = f"{statistics.mean(values):.4g}" if values else ""
            if column == "lpips" and len(values) > 1:
                row["lpips_spread"] = f"{max(values) - min(values):.2g}"
        table.append(row)
    return table


def write(table: list[dict[str, object]]) -> None:
    """Write the table for the report page, and print it as Markdown."""
    names = list(dict.fromkeys(name for row in table for name in row))
    with TABLE.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(table)
    shown = [name for name in names if name != "changed"]
    print("| " + " | ".join(shown) + " |\n|" + "---|" * len(shown))
    for row in table:
        print("| " + " | ".join(str(row.get(name, "")) for name in shown) + " |")
    print(f"written: {TABLE}")


def main() -> None:
    """Queue, run, gather."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=3.0, help="of training, for every run")
    parser.add_argument("--only", nargs="*", help=f"of: {' '.join(v.key for v in VARIANTS)}")
    parser.add_argument("--table", action="store_true", help="only gather what has run")
    options = parser.parse_args()
    chosen = tuple(v for v in VARIANTS if not options.only or v.key in options.only)
    if not options.table:
        queue(chosen, minutes=options.minutes)
        subprocess.run([DVC, "exp", "run", "--run-all", "--jobs", "1"], check=True)
    write(rows(chosen, minutes=options.minutes))


if __name__ == "__main__":
    main()
