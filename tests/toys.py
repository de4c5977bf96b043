"""The smallest models, stores and parameters that can still be wrong."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch

from cvg.codes.layout import Grid
from cvg.codes.store import CodeStore, CodeTrack, CodeWriter
from cvg.conditions.batch import Conditions
from cvg.conditions.condition import Condition
from cvg.conditions.conditioning import Conditioning
from cvg.conditions.vocabulary import Vocabulary
from cvg.config import Params
from cvg.critic.model import Critic, CriticShape
from cvg.critic.sight import Sight
from cvg.critic.store import TrainedCritic, save_critic
from cvg.files import write_json
from cvg.frames.samples import SampledClip, Samples, save_samples, true_clips
from cvg.frames.store import FrameStore
from cvg.frames.writer import FrameWriter
from cvg.mapping.job import Opened
from cvg.params import load_params
from cvg.segments import Segment, Windows
from cvg.transformer.model import Goal, Transformer, TransformerShape
from cvg.vqgan.model import Vqgan, VqganShape
from cvg.vqgan.quantizers import QuantizerShape
from cvg.vqgan.store import load_vqgan, save_vqgan
from cvg.vqgan.tokenize import Tokenizer

SIZE = 16  # pixels
CODEBOOK = 12
CODE_DIM = 4
TOP = Grid(level="top", rows=2, columns=2, codebook_size=CODEBOOK)
BOTTOM = Grid(level="bottom", rows=4, columns=4, codebook_size=CODEBOOK)
GRIDS = (TOP, BOTTOM)
LENGTHS = (9, 14, 7, 12)  # frames of the segments of a toy store; every second is held out
CAPTIONS = ("a red square", None, "a blue square, moving", "a red disc")
PARAMS = Path(__file__).resolve().parents[1] / "params.yaml"


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randomise(model: torch.nn.Module, seed: int, *, spread: float = 0.3) -> None:
    """Give every parameter random values, those too that start at zero."""
    draws = rng(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            values = torch.randn(parameter.shape, generator=draws, dtype=torch.float64)
            parameter.copy_(spread * values)


def toy_shape(levels: tuple[str, ...] = ("top", "bottom"), **quantizer: object) -> VqganShape:
    """The shape of the toy VQGAN."""
    values = {
        "kind": "ema",
        "codebook_size": CODEBOOK,
        "code_dim": CODE_DIM,
        "decay": 0.9,
        "restart_below": 0.02,
        "normalize": False,
        "fsq_levels": (3, 4),
    }
    return VqganShape(
        size=SIZE,
        levels=levels,
        width=8,
        blocks=1,
        stem=2 if len(levels) < 3 else 1,  # no grid is smaller than 2x2
        halvings=1,
        norm="local",
        quantizer=QuantizerShape(**(values | quantizer)),
        rate_weights=(0.0,) * len(levels),
    )


def toy_vqgan(seed: int = 0, levels: tuple[str, ...] = ("top", "bottom")) -> Vqgan:
    """A VQGAN of random weights, whose codebooks hold random vectors; in evaluation mode."""
    vqgan = Vqgan(toy_shape(levels))
    randomise(vqgan, seed, spread=0.2)
    # Codebooks are set by hand, so that the global generator is left alone.
    for number, quantizer in enumerate(vqgan.quantizers.values()):
        vectors = torch.randn(CODEBOOK, CODE_DIM, generator=rng(seed + 100 + number))
        quantizer.codebook.copy_(vectors)
        quantizer.cluster_size.fill_(1)
        quantizer.vector_sum.copy_(vectors)
        quantizer.initialised.fill_(True)
    return vqgan.eval()


def toy_frames(count: int, seed: int = 0) -> torch.Tensor:
    """Smooth random pictures in [-1, 1], `[count, 3, SIZE, SIZE]`."""
    coarse = torch.randn(count, 3, 4, 4, generator=rng(seed))
    return torch.tanh(torch.nn.functional.interpolate(coarse, size=SIZE, mode="bilinear"))


def segment(number: int, first_frame: int, num_frames: int, **changes: object) -> Segment:
    values = {
        "id": number,
        "video": f"{number}.mp4",
        "split": "held_out" if number % 2 else "train",
        "first_frame": first_frame,
        "num_frames": num_frames,
        "fps": 10.0,
        "start_s": 0.0,
        "motion": 0.0,
        "first_action": None,
        "first_map": None,
        "caption": CAPTIONS[number % len(CAPTIONS)],
        "label": "round" if number == 3 else None,
        "metadata": "{}",
    }
    return Segment(**(values | changes))


def segments(lengths: tuple[int, ...] = LENGTHS, *, aligned: bool = False) -> list[Segment]:
    """Segments that lie one behind the other; `aligned`: all but one bring actions and maps."""
    starts = np.cumsum([0, *lengths]).tolist()
    rows = [
        {} if i == 1 or not aligned else {"first_action": starts[i], "first_map": starts[i]}
        for i in range(len(lengths))
    ]
    return [segment(i, starts[i], length, **rows[i]) for i, length in enumerate(lengths)]


def all_codes(num_frames: int, seed: int = 0) -> dict[str, np.ndarray]:
    draws = np.random.default_rng(seed)
    return {
        grid.level: draws.integers(0, grid.codebook_size, (num_frames, grid.rows, grid.columns))
        for grid in GRIDS
    }


def codebooks(seed: int = 0) -> dict[str, np.ndarray]:
    draws = np.random.default_rng(seed)
    return {
        grid.level: draws.standard_normal((grid.codebook_size, CODE_DIM)).astype(np.float32)
        for grid in GRIDS
    }


ACTION_WIDTH, MAP_CELLS = 2, 8
TRACKS = (
    CodeTrack(name="motion", dtype="float32", item_shape=()),
    CodeTrack(name="actions", dtype="float32", item_shape=(ACTION_WIDTH,)),
    CodeTrack(name="map", dtype="uint8", item_shape=(MAP_CELLS, MAP_CELLS)),
)


def all_tracks(num_frames: int, seed: int = 0) -> dict[str, np.ndarray]:
    draws = np.random.default_rng(seed)
    return {
        "motion": draws.uniform(0, 8, num_frames).astype(np.float32),
        "actions": draws.standard_normal((num_frames, ACTION_WIDTH)).astype(np.float32),
        "map": draws.integers(0, 256, (num_frames, MAP_CELLS, MAP_CELLS)).astype(np.uint8),
    }


def write_codes(folder: Path, *, shard_frames: int = 10, vqgan_hash: str = "toy") -> CodeStore:
    """Write random codes of the toy segments, with motion, actions and maps."""
    folder.mkdir()
    writer = CodeWriter(folder, grids=GRIDS, tracks=TRACKS, shard_frames=shard_frames)
    codes = all_codes(sum(LENGTHS)) | all_tracks(sum(LENGTHS))
    for first in range(0, sum(LENGTHS), 7):
        writer.append({level: array[first : first + 7] for level, array in codes.items()})
    writer.finish(segments(aligned=True), vqgan_hash=vqgan_hash, codebooks=codebooks())
    return CodeStore.open(folder)


def write_frames(folder: Path) -> FrameStore:
    """Write smooth random frames of the toy segments."""
    folder.mkdir()
    units = toy_frames(sum(LENGTHS), seed=5)
    frames = ((units + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    with FrameWriter(folder, height=SIZE, width=SIZE, shard_bytes=10 * SIZE * SIZE * 3) as writer:
        for part in segments():
            writer.append(frames[part.first_frame : part.first_frame + part.num_frames])
            writer.add(part)
    return FrameStore.open(folder)


def tokenized(
    store: FrameStore,
    vqgan: Vqgan,
    folder: Path,
    *,
    vqgan_hash: str,
    batch_size: int = 16,
    device: str = "cpu",
) -> dict[str, float]:
    """Write the codes of a store into an existing folder; give the figures."""
    tokenizer = Tokenizer(
        store, vqgan, vqgan_hash=vqgan_hash, batch_size=batch_size, device=torch.device(device)
    )
    with TemporaryDirectory() as scratch:
        return tokenizer.join(made(tokenizer, Path(scratch)), folder)


def made(opened: Opened, folder: Path) -> list[Path]:
    """Make all parts of some work into `folder`; give their folders."""
    parts = [folder / f"{number}" for number in range(len(opened.sizes))]
    for number, part in enumerate(parts):
        part.mkdir()
        opened.make(number, part, advance=lambda _: None)
    return parts


VOCABULARY = Vocabulary(
    words=("a", "blue", "disc", "red"),
    labels=("round",),
    rates=(5.0, 10.0),
    motion_edges=(2.0, 5.0),
    caption_length=5,
)
CONDITIONING = Conditioning(vocabulary=VOCABULARY, action_width=ACTION_WIDTH, map_cells=MAP_CELLS)


def toy_conditions(frames: int = 7, seed: int = 0) -> list[Condition]:
    """Three videos: with everything, with some of it, with nothing."""
    draws = np.random.default_rng(seed)
    actions = draws.standard_normal((frames, ACTION_WIDTH)).astype(np.float32)
    actions[1] = np.nan
    maps = draws.uniform(0, 1, (frames, MAP_CELLS, MAP_CELLS)).astype(np.float32)
    everything = Condition(
        caption="a red disc", label="round", fps=10.0, motion=2, actions=actions, map=maps
    )
    return [everything, Condition(caption="blue", map=maps[::-1].copy()), Condition()]


def gathered(conditions: list[Condition], frames: int) -> Conditions:
    """Give conditions as the tensors of a toy transformer."""
    found = CONDITIONING.gather(conditions, frames=frames)
    return Conditions(prefix=found.prefix, actions=found.actions.double(), maps=found.maps.double())


def toy_transformer(layout, *, seed: int = 0, **changes: object) -> Transformer:
    """A transformer of random weights in float64, in evaluation mode."""
    values = {
        "width": 16,
        "layers": 2,
        "heads": 2,
        "window": 2,
        "order": "raster",
        "keep_first": False,
        "reach": 3,
        "dropout": 0.1,
        "code_dim": CODE_DIM,
        "num_conditions": VOCABULARY.size,
        "condition_length": VOCABULARY.length,
        "action_width": ACTION_WIDTH,
        "map_cells": MAP_CELLS,
    }
    model = Transformer(TransformerShape(**(values | changes)), layout).double()
    randomise(model, seed)
    model.set_codebooks(
        {level: torch.from_numpy(array).double() for level, array in codebooks().items()}
    )
    return model.eval()


def toy_critic(seen: str = "codes", *, vqgan_hash: str = "toy") -> TrainedCritic:
    """An untrained critic of five frames of the toy VQGAN, told conditions."""
    sight = Sight(vqgan=toy_vqgan(), input=seen)
    model = Critic(
        CriticShape(
            frames=5,
            channels=sight.channels,
            size=sight.size,
            cells=4,
            width=16,
            layers=1,
            heads=2,
            dropout=0.0,
            picture_dropout=0.0,
            num_conditions=VOCABULARY.size,
            condition_length=VOCABULARY.length,
        )
    )
    randomise(model, 0)
    return TrainedCritic(
        model=model.eval().requires_grad_(False),
        input=seen,
        conditioning=CONDITIONING,
        vqgan_hash=vqgan_hash,
    )


def toy_samples(store: FrameStore, vqgan_hash: str, *, clips: int, frames: int = 6) -> Samples:
    """Noise behind two real frames, told something and nothing."""
    windows = Windows(store.segments("held_out"), length=frames).spread(clips)
    told, untold = np.random.default_rng(0).integers(
        0, 256, (2, clips, frames, SIZE, SIZE, 3), dtype=np.uint8
    )
    samples = Samples(
        frames=told,
        unconditional=untold,
        clips=[
            SampledClip(
                name=f"{window.segment.video}#{window.start}",
                segment=window.segment.id,
                start=window.start,
                video=window.segment.video,
                caption=window.segment.caption,
                label=window.segment.label,
            )
            for window in windows
        ],
        context_frames=2,
        vqgan_hash=vqgan_hash,
    )
    for videos in (told, untold):
        videos[:, :2] = true_clips(store, samples)[:, :2]
    return samples


def write_run(folder: Path, *, clips: int) -> Path:
    """Write all that `evaluate` reads, in folders that are called as its options are."""
    folder.mkdir()
    store = write_frames(folder / "frames")
    for name in ("vqgan", "critic", "samples", "health", "transformer/top", "transformer/bottom"):
        (folder / name).mkdir(parents=True)
    save_vqgan(folder / "vqgan", toy_vqgan())
    _, vqgan_hash = load_vqgan(folder / "vqgan")
    save_critic(folder / "critic", toy_critic(vqgan_hash=vqgan_hash))
    save_samples(folder / "samples", toy_samples(store, vqgan_hash, clips=clips))
    write_json(folder / "health/figures.json", {"vqgan": {"psnr": 20.0}, "codes": {}})
    write_json(folder / "health/vqgan.json", {"vqgan_hash": vqgan_hash})
    for level in ("top", "bottom"):
        write_json(folder / f"transformer/{level}/figures.json", {"held_out": {"nll": 1.5}})
    return folder


def toy_goal(layout, *, time: int, clips: int = 3, seed: int = 7) -> Goal:
    """A random frame in which videos end."""
    codes = torch.randint(CODEBOOK, (clips, layout.num_places), generator=rng(seed))
    return Goal(codes=codes, time=time)


def toy_params() -> Params:
    """The committed parameters at toy size."""
    params = load_params(PARAMS)
    training = {"steps": 6, "batch_size": 4, "warmup_steps": 2, "validate_every": 3}
    vqgan = params.vqgan.model_copy(
        update=training
        | {
            "width": 8,
            "blocks": 1,
            "stem": 2,
            "codebook_size": CODEBOOK,
            "code_dim": CODE_DIM,
            "comparator": "none",
            "shift": 2,
        }
    )
    small = {"width": 16, "layers": 2, "heads": 2, "window": 2, "clip_frames": 4}
    levels = {
        level: getattr(params.transformer, level).model_copy(update=training | small)
        for level in ("top", "bottom")
    }
    critic = params.critic.model_copy(
        update=training | {"width": 16, "layers": 2, "heads": 2, "dropout": 0.1, "shift": 2}
    )
    finetune = params.finetune.model_copy(update=training)
    sample = params.sample.model_copy(update={"clips": 5, "frames": 7, "context_frames": 2})
    return params.model_copy(
        update={
            "vqgan": vqgan,
            "transformer": params.transformer.model_copy(update=levels),
            "critic": critic,
            "finetune": finetune,
            "sample": sample,
        }
    )


def matrices_for_muon(monkeypatch, module: str, begin) -> set[str]:
    """Names of the matrices that `begin` lets Muon take, of the job for the loop of `module`."""
    jobs = []

    def refuse(job, *others):
        jobs.append(job)
        raise InterruptedError

    monkeypatch.setattr(f"{module}.train", refuse)
    with pytest.raises(InterruptedError):
        begin()
    weights = dict(jobs[0].model.named_parameters())
    taken = [name for name in weights for one in jobs[0].matrices() if one is weights[name]]
    assert len(taken) == len(set(taken)) == len(jobs[0].matrices())
    return set(taken)
