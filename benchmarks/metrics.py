"""How fast figures are computed, beside the reference programs: `python -m benchmarks.metrics`.

The same weights, clips and threads in all. Peers: `lpips`, as its users call it; LPIPS, SSIM and
the Frechet distance of torchmetrics; the I3D that cd-fvd has from TATS and VideoGPT, if installed.
The last row is memory: how much more it takes to score eight times as many clips of a folder.
"""

import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import lpips as reference
import numpy as np
import torch
from torch import nn
from torchmetrics.functional.image import structural_similarity_index_measure
from torchmetrics.image.fid import _compute_fid

from benchmarks.measure import Row, alternate, main, row_of
from cvg.metrics.frechet import frechet_distance
from cvg.metrics.perceptual import lpips_distance
from cvg.metrics.pixels import ssim
from cvg.pretrained.i3d import FRAME_SIZE, i3d_features, load_i3d
from cvg.pretrained.lpips import load_lpips

SIZE, FRAMES = 64, 16


def rows(clips=4, rounds=5):
    rng = np.random.default_rng(0)
    real, fake = rng.integers(0, 256, (2, clips, FRAMES, SIZE, SIZE, 3), dtype=np.uint8)
    work = clips * FRAMES
    yield from _lpips(real, fake, work, rounds)
    yield from _ssim(real, fake, work, rounds)
    yield from _i3d(real, clips, rounds)
    yield from _frechet(rng, rounds)
    yield from _memory(few=8 * clips)


def reference_lpips(ours):
    """Give the network of the `lpips` package with the same trunk, to be called as its users do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torchvision's, at what the package still calls
        theirs = reference.LPIPS(net=ours.net, pnet_rand=True, verbose=False)
    for weights, same in zip(theirs.net.parameters(), ours.trunk.parameters(), strict=True):
        weights.data.copy_(same)
    return theirs


def _lpips(real, fake, work, rounds):
    ours = load_lpips("alex")
    theirs = reference_lpips(ours)

    def pictures():
        for x in (real, fake):
            yield torch.from_numpy(x).flatten(0, 1).permute(0, 3, 1, 2).float() / 127.5 - 1

    @torch.inference_mode()
    def by_frames():
        return [theirs(a[None], b[None]) for a, b in zip(*pictures(), strict=True)]

    @torch.inference_mode()
    def at_once():
        return theirs(*pictures())

    times = alternate(
        {
            "LPIPS, AlexNet": lambda: lpips_distance(ours, real, fake),
            "lpips, all frames at once": at_once,
            "lpips, frame by frame": by_frames,
        },
        rounds,
    )
    for peer in ("lpips, all frames at once", "lpips, frame by frame"):
        yield row_of(times, "LPIPS, AlexNet", peer=peer, work=work, unit="frames/s")


def _ssim(real, fake, work, rounds):
    pictures = [
        torch.from_numpy(x).flatten(0, 1).permute(0, 3, 1, 2).float() / 255 for x in (real, fake)
    ]

    def theirs():
        return structural_similarity_index_measure(*pictures, data_range=1.0, reduction="none")

    times = alternate({"SSIM": lambda: ssim(real, fake), "torchmetrics": theirs}, rounds)
    yield row_of(times, "SSIM", peer="torchmetrics", work=work, unit="frames/s")


def _i3d(real, clips, rounds):
    try:
        from cdfvd.third_party.i3d.pytorch_i3d import InceptionI3d
    except ImportError:
        print("I3D is not compared: pip install --no-deps cd-fvd")
        return
    ours, theirs = load_i3d(), InceptionI3d(400, in_channels=3).eval()
    frames = torch.from_numpy(real).permute(0, 4, 1, 2, 3).float() * 2 / 255 - 1
    batch = torch.from_numpy(real)

    @torch.inference_mode()
    def of_cdfvd():
        large = nn.functional.interpolate(
            frames.transpose(1, 2).flatten(0, 1), (FRAME_SIZE, FRAME_SIZE), mode="bilinear"
        )
        return theirs(large.unflatten(0, (clips, -1)).transpose(1, 2))

    def run():
        with torch.inference_mode():
            return i3d_features(ours, batch)

    times = alternate({"I3D": run, "cd-fvd (TATS, VideoGPT)": of_cdfvd}, rounds)
    yield row_of(times, "I3D", peer="cd-fvd (TATS, VideoGPT)", work=clips, unit="clips/s")


def _frechet(rng, rounds):
    a, b = rng.standard_normal((2, 2048, 400))
    ta, tb = (torch.from_numpy(x) for x in (a, b))

    def theirs():
        return _compute_fid(ta.mean(0), ta.T.cov(), tb.mean(0), tb.T.cov())

    name = "Frechet distance, 2048 x 400"
    times = alternate({name: lambda: frechet_distance(a, b), "torchmetrics": theirs}, rounds)
    yield row_of(times, name, peer="torchmetrics", work=1, unit="1/s")


def _memory(few):
    peaks = {}
    for count in (few, 8 * few):
        with tempfile.TemporaryDirectory() as folder:
            peaks[count] = _peak(Path(folder), count)
    name = f"memory, {8 * few} clips of a folder"
    yield Row(
        name=name,
        value=peaks[8 * few],
        best=peaks[8 * few],
        unit="MB",
        peer=f"{few} clips",
        peer_value=peaks[few],
        ratio=peaks[few] / peaks[8 * few],
    )


def _peak(folder: Path, count: int) -> float:
    """Score a folder in a process of its own, on clips of 256 pixels; give its peak, MB."""
    rng = np.random.default_rng(0)
    for side in ("real", "fake"):
        (folder / side).mkdir()
        for number in range(count):
            clip = rng.integers(0, 256, (10, 256, 256, 3), dtype=np.uint8)
            np.save(folder / side / f"{number}.npy", clip)
    script = (
        "import os, resource; os.environ['CVG_WEIGHTS'] = 'none'\n"
        "from pipeline.__main__ import app\n"
        f"app(['evaluate', '--real', {str(folder / 'real')!r}, '--fake', {str(folder / 'fake')!r},"
        " '--paired', '--length', '10'], standalone_mode=False)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def small():
    return rows(clips=1, rounds=1)


if __name__ == "__main__":
    main(rows, small=small)
