"""A small made-up run, written by the writers of the real stages."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from cvg.files import write_json
from cvg.frames.report import MOTION_EDGES, ExtractReport, UsedVideo, write_report
from cvg.metrics.intervals import Interval
from cvg.metrics.record import write_suite
from cvg.metrics.scores import Network, Protocol, Score
from cvg.metrics.suite import Suite
from cvg.pretrained.catalog import I3D, LPIPS_TRUNKS, entry
from cvg.segments import Segment
from cvg.videos.skips import Note, NoteCode, Skip, SkipCode

FIGURES = {
    "sample": {"psnr": 24.0, "ssim": 0.8, "lpips": 0.10, "fvd": 300.0},
    "baseline.repeat_last": {"psnr": 22.0, "ssim": 0.7, "lpips": 0.20, "fvd": 400.0},
    "baseline.nearest": {"psnr": 15.0, "ssim": 0.9, "lpips": 0.40, "fvd": 200.0},
    "control.reconstruction": {"psnr": 28.0, "ssim": 0.95, "lpips": 0.05, "fvd": 90.0},
    "control.real_vs_real": {"fvd": 150.0},
    "control.shuffled": {"fvd": 250.0},
}
NAMES = {"lpips": "lpips_alex"}
NETWORKS = {"lpips": LPIPS_TRUNKS["alex"], "fvd": I3D}
WARNING = "held-out psnr is 13.8, below vqgan.gates.min_psnr = 21"
CLIPS, FRAMES, CONTEXT = 3, 6, 2


def write_run(
    root: Path,
    *,
    figures=FIGURES,
    caption="a man talks",
    absent=(),
    intervals=True,
    skipped=(),
    notes=(),
    size=16,
    clips=CLIPS,
):
    """Write the inputs of the page below `root`; give the arguments of `write_report`."""
    videos = [f"video{number}.mp4" for number in range(2)]
    suite = Suite(
        figures=nested(figures) | networks_figures(),
        scores=list(scores(figures, intervals, size)),
        horizon=horizon(figures),
        clips=[
            {
                "clip": f"{videos[number % 2]}#{number}",
                "video": videos[number % 2],
                "caption": caption,
                "psnr": 24.0 + number,
            }
            for number in range(clips)
        ],
        pictures=pictures(size, clips),
        absent=list(absent),
    )
    scores_folder = root / "reports/scores"
    write_suite(scores_folder, suite)
    write_json(root / "reports/metrics.json", suite.figures)
    write_frames(root / "data/frames", videos, skipped, notes)
    health = {"best_step": 40, "comparator": "none", "held_out": {}, "warnings": [WARNING]}
    write_json(root / "data/vqgan/health.json", health)
    plots = root / "reports/plots"
    write_plots(plots)
    return {
        "frames": root / "data/frames",
        "vqgan": root / "data/vqgan",
        "metrics": root / "reports/metrics.json",
        "scores": scores_folder,
        "plots": plots,
        "out": root / "reports/index.html",
    }


def nested(figures):
    tree = {}
    for candidate, values in figures.items():
        node = tree
        for part in candidate.split("."):
            node = node.setdefault(part, {})
        node |= values
    return tree


def networks_figures():
    level = {"usage": 0.75, "perplexity": 9.0}
    guess = {"nll": 1.5, "accuracy": 0.6, "accuracy_copy": 0.5}
    return {
        "vqgan": {"psnr": 27.5, "psnr_top": 21.25, "ssim": 0.9},
        "codes": {"top": level, "bottom": level},
        "transformer": {"top": guess, "bottom": guess},
    }


def scores(figures, intervals, size):
    for candidate, values in figures.items():
        for key, value in values.items():
            network = NETWORKS.get(key)
            score = Score(
                metric=NAMES.get(key, key),
                value=value,
                protocol=Protocol(
                    split="held_out",
                    clips=CLIPS,
                    frames=FRAMES,
                    context_frames=CONTEXT,
                    size=size,
                    fps=None,
                    seed=7,
                ),
                scored_frames="predicted",
                interval=interval(value) if intervals and key != "fvd" else None,
                network=Network(name=network, weights_sha256=entry(network).sha256)
                if network
                else None,
                notes=("fewer than 401 clips",) if key == "fvd" else (),
            )
            yield {"candidate": candidate} | score.to_dict()


def interval(value):
    return Interval(low=value * 0.97, high=value * 1.03, level=0.95, unit="clip", units=CLIPS)


def horizon(figures):
    return [
        {"candidate": candidate, "frame": frame + 1, "psnr": 30.0 - frame, "lpips": 0.1 * frame}
        for candidate in figures
        if candidate.startswith(("sample", "baseline"))
        for frame in range(FRAMES - CONTEXT)
    ]


def pictures(size, clips):
    random = np.random.default_rng(0)

    def noise(*shape):
        return random.integers(256, size=(*shape, size, size, 3), dtype=np.uint8)

    names = ("truth", "sample", "reconstruction", "repeat_last", "nearest")
    return (
        {"chosen": np.arange(clips)}
        | {f"clips.{name}": noise(clips, FRAMES) for name in names}
        | {f"frames.{name}": noise(4) for name in ("original", "full", "top")}
        | {f"counts.{level}": np.arange(12) for level in ("top", "bottom")}
    )


def write_frames(folder, videos, skipped, notes):
    used = [used_video(number, name) for number, name in enumerate(videos)]
    still = (0,) * (len(MOTION_EDGES) - 2)
    report = ExtractReport(
        found=len(used) + len(skipped),
        used=len(used),
        skips=tuple(Skip(**skip | {"code": SkipCode(skip["code"])}) for skip in skipped),
        notes=tuple(Note(**note | {"code": NoteCode(note["code"])}) for note in notes),
        videos=tuple(used),
        ignored={".txt": 3},
        motion_counts={"train": (178, *still), "held_out": (*still, 38)},
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_report(report, folder)
    Image.new("RGB", (140, 90), (255, 255, 255)).save(folder / "overview.png")
    for split in ("train", "held_out"):
        Image.new("RGB", (60, 40), (90, 120, 30)).save(folder / f"contact_{split}.png")


def used_video(number, name):
    """A video of 90 frames for training and 20 held out; the first alone has a caption."""
    parts = tuple(
        Segment(
            id=2 * number + side,
            video=name,
            split=split,
            first_frame=0,
            num_frames=frames,
            fps=25.0,
            start_s=4.0 * side,
            motion=3.0,
            first_action=None,
            first_map=None,
            caption=None if number else "a man talks",
            label=None,
            metadata="{}",
        )
        for side, (split, frames) in enumerate((("train", 90), ("held_out", 20)))
    )
    return UsedVideo(
        file=name,
        row=2 + number,
        sha256="0" * 64,
        width=64,
        height=48,
        frames=115,
        fps=25.0,
        seconds=4.6,
        motion=3.0,
        shots=1 + number,
        dropped={"gap": 5, "short_shots": 0},
        segments=parts,
    )


def write_plots(folder):
    folder.mkdir(parents=True, exist_ok=True)
    header = ["step", "loss", "nll", "held_out_nll", "held_out_psnr", "held_out_psnr_top"]
    rows = [
        [10, 1.0, 2.0, "", "", ""],
        [20, 0.5, 1.5, 1.6, 25.0, 20.0],
        [30, "nan", "inf", 1.5, 26.0, 21.0],
    ]
    for name in ("vqgan", "transformer_top", "transformer_bottom"):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])
