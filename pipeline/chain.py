"""Tool: the whole chain in a plain folder, without DVC and without Git."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from pipeline.graph import DVC_YAML, Stage, look_up, read_stages
from pipeline.stage import PARAMS_PATH, ParamsOption

PROJECT = Path(__file__).resolve().parents[1]
DONE = "done.json"  # what each finished stage was made of


def run(
    out: Annotated[Path, typer.Option("--out", help="Folder for everything that is written.")],
    preset: Annotated[
        str | None, typer.Option(help="Name of a preset to begin with, as in presets/.")
    ] = None,
    manifest: Annotated[
        str | None,
        typer.Option(help="Videos, in place of extract.manifest; a path or a URL of fsspec."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Replace one value, as in --set lr=3e-4. Repeatable."),
    ] = None,
    params_path: ParamsOption = PROJECT / PARAMS_PATH,
) -> None:
    """Run all stages in a plain folder: no DVC, no Git; what is done already is not redone."""
    from cvg.files import refuse_foreign_folder
    from cvg.interrupts import interruptible
    from cvg.locks import one_writer

    refuse_foreign_folder(out, marker=DONE)
    with interruptible(), one_writer(out, stage="run"):
        stages = prepare(
            out, params_path, preset=preset, manifest=manifest, overrides=overrides or ()
        )
        _run_stages(stages, out)
    typer.echo(f"the report: {(out / 'reports/index.html').resolve()}")


def prepare(
    out: Path,
    params_path: Path,
    *,
    preset: str | None = None,
    manifest: str | None = None,
    overrides: Sequence[str] = (),
) -> list[Stage]:
    """Write the parameters into a folder, and what stages read that none makes.

    Args:
        out: the folder, made if needed.
        params_path: file of parameters to begin with.
        preset: name of a preset beside it.
        manifest: videos, in place of `extract.manifest`.
        overrides: `section.key=value` texts.

    Returns:
        The stages, to be run one after the other in that folder.
    """
    tree = _write_params(out, params_path, preset, manifest, overrides)
    stages = read_stages(PROJECT / DVC_YAML, tree)
    _copy_committed(out, stages)
    return stages


def _run_stages(stages: Sequence[Stage], out: Path) -> None:
    from cvg.files import hash_code, read_json, write_json
    from cvg.params import read_tree

    tree = read_tree(out / PARAMS_PATH)
    done = read_json(out / DONE)
    code = " ".join(hash_code(PROJECT / package) for package in ("cvg", "pipeline"))
    environment = _environment(out)
    for stage in stages:
        key = _key(stage, out, tree, code)
        if done.get(stage.name) == [key, _hash_stats(stage.outs, out)]:
            typer.echo(f"{stage.name}: nothing changed")
            continue
        typer.echo(f"{stage.name}: begins")
        if status := _execute(stage, out, environment):
            _stop(stage, status)
        done[stage.name] = [key, _hash_stats(stage.outs, out)]
        write_json(out / DONE, done)


def _stop(stage: Stage, status: int) -> NoReturn:
    """End with the exit code of a stage, or as a shell says which signal ended it."""
    if status >= 0:
        raise typer.Exit(status)
    why = ", often sent by a system that has no more memory" if status == -signal.SIGKILL else ""
    typer.echo(
        f"{stage.name}: ended by {signal.Signals(-status).name}{why}; the same command goes on",
        err=True,
    )
    raise typer.Exit(128 - status)


def _execute(stage: Stage, out: Path, environment: dict[str, str]) -> int:
    """Run one stage in a process of its own; pass on the signal that asks for the end."""
    from cvg.interrupts import Interrupted

    # In a session of its own, or Ctrl-C would reach it twice, and the second time ends it at once.
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *stage.words],
        cwd=out,
        env=environment,
        start_new_session=True,
    )
    try:
        return process.wait()
    except Interrupted as error:
        process.send_signal(error.number)
        process.wait()
        raise


def _write_params(
    out: Path,
    params_path: Path,
    preset: str | None,
    manifest: str | None,
    overrides: Sequence[str],
) -> dict[str, Any]:
    """Write the parameters of this run into its folder; give them as a tree."""
    from cvg.files import write_json
    from cvg.params import leaves, load_params, read_tree
    from cvg.remote.url import is_url
    from pipeline.preset import put_values, read_preset

    values = dict(read_preset(preset, params_path)) if preset else {}
    source = read_tree(params_path)
    videos = manifest or values.get("extract.manifest", source["extract"]["manifest"])
    base = Path.cwd() if manifest else params_path.parent
    values["extract.manifest"] = videos if is_url(videos) else str((base / videos).resolve())
    texts = [f"{key}={json.dumps(value)}" for key, value in values.items()]
    params = load_params(params_path, [*texts, *overrides])
    out.mkdir(parents=True, exist_ok=True)
    if not (out / DONE).is_file():
        write_json(out / DONE, {})
    shutil.copyfile(params_path, out / PARAMS_PATH)
    put_values(out / PARAMS_PATH, dict(leaves(params.model_dump())))
    return read_tree(out / PARAMS_PATH)


def _copy_committed(out: Path, stages: Sequence[Stage]) -> None:
    """Copy the files that stages read and that no stage makes: tables of finished experiments."""
    made = [f"{path}/" for stage in stages for path in stage.outs]
    for dep in {dep for stage in stages for dep in stage.data}:
        source = PROJECT / dep
        is_made = any(f"{dep}/".startswith(path) for path in made)
        if source.is_file() and not is_made and not Path(dep).is_absolute():
            (out / dep).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, out / dep)  # with its time, by which a change is seen


def _environment(out: Path) -> dict[str, str]:
    name = os.environ.get("CVG_PIPELINE") or f"{out.name} {time.strftime('%Y-%m-%d %H:%M:%S')}"
    path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    return os.environ | {"CVG_PIPELINE": name, "CVG_END_WITH_PARENT": "1", "PYTHONPATH": path}


def _key(stage: Stage, out: Path, tree: dict[str, Any], code: str) -> str:
    """Hash all that shapes the result of a stage."""
    values = {dotted: look_up(dotted, tree) for dotted in stage.params}
    parts = [stage.words, values, code, _hash_stats(stage.data, out)]
    return hashlib.sha256(json.dumps(parts, default=dict).encode()).hexdigest()


def _hash_stats(paths: Sequence[str], out: Path) -> str:
    """Hash names, sizes and times of files; their content is not read."""
    from cvg.remote.url import Url, is_url
    from cvg.videos.manifest import read_manifest

    digest = hashlib.sha256()
    for path in paths:
        if is_url(path):
            digest.update(repr(read_manifest(Url(path), folder_files="all").entries).encode())
            continue
        where = out / path
        for file in sorted(where.rglob("*")) if where.is_dir() else [where]:
            if file.is_file():
                stat = file.stat()
                name = file.relative_to(out) if file.is_relative_to(out) else file
                digest.update(f"{name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()
