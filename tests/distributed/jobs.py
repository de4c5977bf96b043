"""Trains toy models, on as many ranks as `torchrun` has started, or alone; a program for the tests.

Writes into a folder, for each job: the weights of the first rank, and the hash of each rank's.
"""

import json
import math
import runpy
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import torch
from safetensors.torch import save_file
from torch import nn
from torch.distributed.tensor import DTensor

from cvg import launch
from cvg.codes.layout import layout_of
from cvg.critic.train import train_critic
from cvg.finetuning.train import Settings, finetune
from cvg.sampling.models import Models
from cvg.training.finite import NonFiniteError
from cvg.training.group import joined
from cvg.training.loop import Job, StepResult, Surroundings, train
from cvg.training.ranks import add_up
from cvg.training.runtime import chosen_runtime
from cvg.training.weights import hash_weights
from cvg.transformer.store import TrainedTransformer
from cvg.transformer.train import train_transformer
from cvg.vqgan.train import train_vqgan

TOYS = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "toys.py")))
PARAMS = TOYS.toy_params()
EXACT = {"dropout": 0.0}  # masks differ from rank to rank
CLIPPED = 0.05  # a norm of the gradient that is always exceeded
UNCLIPPED = 1e6


def main(out, jobs):
    with joined(), tempfile.TemporaryDirectory() as folder:
        stores = {
            "codes": TOYS.write_codes(Path(folder) / "codes"),
            "frames": TOYS.write_frames(Path(folder) / "frames"),
        }
        runtime = chosen_runtime()
        for name in jobs:
            job, _, strategy = name.partition("@")
            around = Surroundings(
                learning_rate=1e-3,
                seed=0,
                runtime=replace(runtime, strategy=strategy or "ddp"),
                log=lambda row, step: None,
            )
            models, trained = JOBS[job](stores, around)
            tensors = {
                f"{number}.{key}": tensor.contiguous()
                for number, model in enumerate(models)
                for key, tensor in model.state_dict().items()
            }
            hashes = " ".join(hash_weights(model) for model in models)
            (out / f"{name}.rank{launch.rank()}").write_text(hashes)
            if launch.is_first():
                save_file(tensors, out / f"{name}.safetensors")
                (out / f"{name}.json").write_text(json.dumps(trained.history.rows))


def transformer(level, order="raster", goal_share=0.1, **changes):
    def run(stores, around):
        params = PARAMS.transformer
        own = params.of(level).model_copy(update=EXACT | {"grad_clip": UNCLIPPED} | changes)
        conditions = params.conditions.model_copy(update={"goal_share": goal_share})
        params = params.model_copy(update={"order": order, "conditions": conditions, level: own})
        result = train_transformer(stores["codes"], level, params, around)
        return [result.transformer.model], result.trained

    return run


def vqgan(**changes):
    def run(stores, around):
        critic = PARAMS.vqgan.discriminator.model_copy(
            update={
                "enabled": True,
                "pairs": True,
                "augment": True,
                "width": 8,
                "start_step": 1,
                "r1_weight": 0.1,
                "lecam_weight": 0.1,
                "max_adaptive": 1e6,  # the factor is that of the gradients
            }
        )
        others = {"discriminator": critic, "still_weight": 0.1, "batch_size": 8, "flip": True}
        others |= {"grad_clip": UNCLIPPED} | changes
        params = PARAMS.vqgan.model_copy(update=others)
        with mock.patch("cvg.vqgan.stillness.STILL", 64):  # or nothing would stand still
            result = train_vqgan(stores["frames"], params, comparator=None, around=around)
        return [result.vqgan], result.trained

    return run


def critic(seen):
    def run(stores, around):
        changes = {"picture_dropout": 0.0, "input": seen, "batch_size": 12}
        params = PARAMS.critic.model_copy(update=EXACT | changes)
        vqgan = TOYS.toy_vqgan().requires_grad_(False)
        conditions = PARAMS.transformer.conditions
        result = train_critic(stores["codes"], vqgan, params, conditions, around)
        return [result.critic.model], result.trained

    return run


def tuning(method):
    def run(stores, around):
        layouts = {level: layout_of(level, TOYS.GRIDS) for level in ("top", "bottom")}
        models = Models(
            vqgan=TOYS.toy_vqgan().requires_grad_(False),
            vqgan_hash=stores["codes"].vqgan_hash,
            transformers={
                level: TrainedTransformer(
                    model=TOYS.toy_transformer(layout, dropout=0.0).float(),
                    conditioning=TOYS.CONDITIONING,
                    vqgan_hash=stores["codes"].vqgan_hash,
                )
                for level, layout in layouts.items()
            },
        )
        changes = {"enabled": True, "method": method, "own_clips": 4, "own_share": 0.5}
        changes |= {"weight": 1e3}  # the weight is that of the gradients
        settings = Settings(
            finetune=PARAMS.finetune.model_copy(update=changes),
            transformer=PARAMS.transformer,
            draw=PARAMS.sample,
        )
        result = finetune(stores["codes"], models, TOYS.toy_critic(), settings, around)
        return [one.model for one in result.transformers.values()], result.trained

    return run


def uneven(stores, around):
    """The last rank has a fast clock, a number that is not finite, figures that get worse."""
    torch.manual_seed(0)
    model = nn.Linear(3, 3)
    ranks, is_last = around.runtime.ranks, launch.rank() == launch.world_size() - 1

    looks = []

    def train_step(step, part):
        rows = torch.randn(4, 3, generator=TOYS.rng(10 * step + part))
        loss = model(rows[ranks.share(4).rows]).square().mean()
        return StepResult(loss=loss * (math.nan if is_last and step == 2 else 1.0), figures={})

    def validate(averaged):
        looks.append(averaged(torch.ones(1, 3)).square().mean().item())
        return {"l2": float(len(looks)) if is_last else (3.0, 1.0, 2.0, 0.5)[len(looks) - 1]}

    params = PARAMS.vqgan.model_copy(
        update={"max_minutes": 1.0, "steps": 8, "validate_every": 2, "patience": 2}
    )
    job = Job(label="uneven", model=model, train_step=train_step, validate=validate, objective="l2")
    clock = time.monotonic

    def fast():
        return clock() * 1e4

    with mock.patch("time.monotonic", fast if is_last else clock):
        trained = train(job, params, around)
    assert trained.stopped_by == "steps"
    return [model], trained


def looks(stores, around):
    """Looks at five batches that ranks take in turn; in the second look one is not finite."""
    torch.manual_seed(0)
    model = nn.Linear(3, 3)
    batches = list(torch.randn(5, 4, 3, generator=TOYS.rng()))
    seen = []

    def train_step(step, part):
        return StepResult(loss=0.0 * model(batches[0]).sum(), figures={})

    def validate(averaged):
        seen.append(0)

        def figures(batch):
            if len(seen) == 2 and batch is batches[3]:
                raise NonFiniteError("as it may be")
            return {"sums": averaged(batch).exp().sum(0), "count": torch.tensor(len(batch))}

        with torch.no_grad():
            totals = add_up(iter(batches), figures, around.runtime.ranks)
        return {"sum": totals["sums"][0].item(), "count": totals["count"].item()}

    params = PARAMS.vqgan.model_copy(update={"steps": 6, "validate_every": 2, "weight_decay": 0.0})
    job = Job(label="looks", model=model, train_step=train_step, validate=validate, objective="sum")
    return [model], train(job, params, around)


def gathered(precision):
    """A transformer of many layers; says how many have whole weights at once, and of what type."""

    def run(stores, around):
        found = {"forward": 0, "backward": 0}

        def spied(job, *others):
            blocks = list(job.model.blocks)

            def count(*_, way):
                weights = [block.network[0].weight for block in blocks]
                whole = [weight for weight in weights if not isinstance(weight, DTensor)]
                found[way] = max(found[way], len(whole))
                if whole:  # none while the average is looked at, which has these hooks too
                    found["type"] = str(whole[0].dtype)

            for block in blocks:
                block.register_forward_pre_hook(partial(count, way="forward"))
                block.network[2].register_full_backward_hook(partial(count, way="backward"))
            return train(job, *others)

        around = replace(around, runtime=replace(around.runtime, precision=precision))
        with mock.patch("cvg.transformer.train.train", spied):
            models, trained = transformer("top", layers=8)(stores, around)
        trained.history.rows.append(found)
        return models, trained

    return run


JOBS = {
    "uneven": uneven,
    "looks": looks,
    "gathered": gathered("fp32"),
    "halved": gathered("bf16"),
    "raster": transformer("top"),
    "parallel": transformer("bottom", order="parallel", accumulate=2),
    "dropped": transformer("bottom", goal_share=0.5, dropout=0.3),
    "clipped": transformer("top", grad_clip=CLIPPED),
    "vqgan": vqgan(),
    "restarts": vqgan(restart_below=0.9, codebook_decay=0.5),
    "critic": critic("codes"),
    "pixels": critic("pixels"),
    "teach": tuning("teach"),
    "reward": tuning("reward"),
}

if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), sys.argv[2:])
