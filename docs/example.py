# %% [markdown]
# From a trained project to videos, figures and earlier models. Run it from the root of the
# project, as a script (`python docs/example.py`) or cell by cell in an editor that knows `# %%`.

# %% A trained model and a video of it
from pathlib import Path

import numpy as np

from cvg.media import write_gif
from cvg.sampling.generator import Generator, Request

generator = Generator.load(Path("data"))  # of `cvg run`: Generator.load(Path("OUT/data"))
video = generator.sample(frames=16, seed=7)  # uint8 [t, h, w, 3]
write_gif(Path(".runs/example/video.gif"), video, fps=10)
print("a video", video.shape)

# %% What it goes on from: the first frames of a held-out clip
truth = np.load("data/samples/truth.npy")[0]  # uint8 [t, h, w, 3]
continued = generator.sample(frames=len(truth), first=truth[:4])
assert len(continued) == len(truth)
write_gif(Path(".runs/example/continued.gif"), np.concatenate([truth, continued], axis=2), fps=10)

# %% Several videos at once cost little more than one
videos = np.concatenate(list(generator.stream([Request(frames=16)] * 4, seed=0)), axis=1)
print("four videos", videos.shape)  # [b, t, h, w, 3]

# %% How far from the truth is it?
from cvg.metrics.pixels import psnr

print("PSNR of the predicted frames, dB:", psnr(truth[None, 4:], continued[None, 4:]).round(1))

# %% The models of an earlier commit or experiment
from pipeline.revision import fetch_models

earlier = Generator.load(fetch_models("HEAD"))
print("a video of HEAD", earlier.sample(frames=8).shape)
