"""Tool: why a stage would run again, and what it would go on from."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cvg.errors import UserError
from pipeline.graph import DVC_YAML, Stage, makers, read_stages
from pipeline.stage import PARAMS_PATH

LOCK = Path("dvc.lock")


def explain(
    stage: Annotated[
        str, typer.Argument(help="Name of a stage, as in dvc.yaml: train_vqgan, or a level's @top.")
    ],
) -> None:
    """Say why a stage would run again, and what an interrupted run of it left to go on from."""
    from cvg.params import read_tree

    tree = read_tree(PARAMS_PATH)
    stages = {one.name: one for one in read_stages(DVC_YAML, tree)}
    if stage not in stages:
        raise UserError(f"{stage}: no such stage; there are {', '.join(stages)}")
    locked = read_tree(LOCK)["stages"].get(stage) if LOCK.is_file() else None
    reasons = list(_reasons(stages, stage, tree, locked))
    if reasons:
        typer.echo(f"{stage} would run, because")
        for reason in reasons:
            typer.echo(f"  {reason}")
    else:
        typer.echo(f"{stage} is up to date")
    for sentence in _left(stage, tree):
        typer.echo(sentence)


def _reasons(
    stages: Mapping[str, Stage],
    name: str,
    tree: Mapping[str, Any],
    locked: Mapping[str, Any] | None,
) -> Iterator[str]:
    if locked is None:
        yield "it never ran here (dvc.lock does not have it)"
        return
    status = _dvc_status()
    yield from _changed_params(stages[name], tree, locked)
    for path, how in _changed(status, name, "changed deps"):
        if path != str(PARAMS_PATH):
            yield f"{path}: {how}"
    for path, how in _changed(status, name, "changed outs"):
        yield f"its output {path}: {how}"
    if "changed command" in status.get(name, ()):
        yield f"its command: was `{locked['cmd']}`"
    for maker in makers(stages[name], stages.values()):
        if maker in status:
            yield f"{maker}, whose output it reads, would run (cvg explain {maker})"


def _changed_params(
    stage: Stage, tree: Mapping[str, Any], locked: Mapping[str, Any]
) -> Iterator[str]:
    from cvg.params import leaves

    before = dict(leaves(locked.get("params", {}).get(str(PARAMS_PATH), {})))
    now = {
        key: value
        for key, value in leaves(tree)
        if any(f"{key}.".startswith(f"{part}.") for part in stage.params)
    }
    for key in sorted({*before, *now}):
        old, new = before.get(key, "absent"), now.get(key, "absent")
        if old != new:
            yield f"{PARAMS_PATH}: {key}: {old} -> {new}"


def _dvc_status() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UserError(f"dvc status failed: {done.stderr.strip()}")
    return json.loads(done.stdout)


def _changed(status: Mapping[str, Any], name: str, kind: str) -> Iterator[tuple[str, str]]:
    for entry in status.get(name, ()):
        if isinstance(entry, dict) and kind in entry:
            for path, how in entry[kind].items():
                yield path, how if isinstance(how, str) else "changed"


def _left(name: str, tree: Mapping[str, Any]) -> Iterator[str]:
    """Describe what interrupted runs of a stage left, and whether it would be gone on with."""
    from cvg.files import read_json, state_root
    from cvg.params import leaves
    from cvg.training.checkpoint import Checkpoints
    from cvg.training.workspace import RUNS, code_digest

    now = dict(leaves(tree))
    for described in sorted((state_root() / RUNS / name.replace("@", "_")).glob("*.json")):
        key = read_json(described)
        folder = described.with_suffix("")
        newest = Checkpoints(folder / "checkpoints").newest()
        what = f"{folder}: " + (f"{newest.stem.rpartition('-')[0]} of an" if newest else "an")
        differs = [f"{k}: {v} -> {now.get(k)}" for k, v in key["params"].items() if now.get(k) != v]
        if key["code"] != code_digest():
            differs.append("the code")
        if differs:
            yield f"{what} interrupted run; not gone on with: {'; '.join(differs)}"
        else:
            yield f"{what} interrupted run; gone on with, if its data and the machine are the same"
