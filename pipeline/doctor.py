"""Look for what commonly goes wrong, and say what to do about it."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlparse

import typer

from cvg.errors import UserError
from pipeline.stage import PARAMS_PATH

PACKAGES = ("cvg", "dvc", "mlflow", "torch")
FREE_GB_WARN = 5.0
FREE_GB_FAIL = 0.5
RUNS_GB_WARN = 20.0
COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The outcome of one check."""

    subject: str
    state: Literal["ok", "warn", "fail"]
    message: str
    remedy: str = ""


def doctor() -> None:
    """Check the installation, the project and the record of runs; exit status 1 if any fails."""
    from cvg.files import project_root

    findings = [finding for check in CHECKS for finding in _examine(check, project_root())]
    for finding in findings:
        state = typer.style(f"{finding.state:4}", fg=COLOURS[finding.state])
        typer.echo(f"{state}  {finding.subject:10}  {finding.message}")
        if finding.remedy:
            typer.echo(f"{'':18}-> {finding.remedy}")
    raise typer.Exit(any(finding.state == "fail" for finding in findings))


def check_packages(_root: Path) -> Iterator[Finding]:
    """Python and the packages that matter most."""
    found = f"Python {sys.version.partition(' ')[0]} in {sys.prefix}"
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield _fail("packages", f"{name} is not installed in {sys.prefix}", "make setup")
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    yield _ok("packages", f"{found}, {listed}")


def check_device(_root: Path) -> Iterator[Finding]:
    """What torch computes on."""
    import torch

    from cvg.training.device import chosen_device

    device = chosen_device()
    found = f"{device}, {torch.get_num_threads()} threads of {os.cpu_count()} cores"
    if device.type == "cpu" and torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        yield _warn("device", f"{found}, while {name} is idle", "export CVG_DEVICE=cuda")
    else:
        yield _ok("device", found)


def check_git(root: Path) -> Iterator[Finding]:
    """Git: DVC needs it, and a killed experiment leaves it on no branch."""
    inside = _git(root, "rev-parse", "--is-inside-work-tree")
    if inside is None:
        yield _fail("git", f"{root} is no Git checkout; DVC needs one", "git init, or clone again")
        return
    branch = _git(root, "symbolic-ref", "--quiet", "--short", "HEAD")
    if branch is None:
        yield _warn(
            "git",
            "HEAD is on no branch; a killed `dvc exp run` leaves this",
            "git checkout BRANCH (look at `git diff params.yaml` first)",
        )
    else:
        yield _ok("git", f"on branch {branch}")


def check_dvc(root: Path) -> Iterator[Finding]:
    """Files of DVC that a merge or a killed process leaves behind."""
    if not (root / ".dvc").is_dir():
        yield _fail("dvc", f"{root}/.dvc is missing", "run from a clone of the project")
        return
    lock = root / "dvc.lock"
    if lock.is_file() and "<<<<<<< " in lock.read_text(encoding="utf-8"):
        yield _fail(
            "dvc",
            f"{lock} holds the markers of a merge conflict",
            "mend params.yaml by hand, then: git checkout --theirs dvc.lock && dvc repro",
        )
    left = [path for path in (root / ".dvc/tmp/exps/standalone").glob("tmp*") if path.is_dir()]
    if left:
        yield _warn(
            "dvc",
            f"{len(left)} folders of temporary experiments in .dvc/tmp/exps/standalone",
            "if no `dvc exp run --temp` is at work, delete them",
        )
    yield _ok("dvc", "dvc.lock is readable" if lock.is_file() else "no dvc.lock yet: dvc repro")


def check_params(root: Path) -> Iterator[Finding]:
    """The parameters."""
    from cvg.params import load_params

    try:
        load_params(root / PARAMS_PATH)
    except UserError as error:
        yield _fail(
            "params",
            str(error).replace("\n", "; "),
            "mend them, or take the committed file: git checkout params.yaml",
        )
    else:
        yield _ok("params", "params.yaml is valid")


def check_weights(_root: Path) -> Iterator[Finding]:
    """The pretrained networks; without them some figures are left out."""
    from cvg.pretrained.catalog import entries
    from cvg.pretrained.store import locate

    for entry in entries():
        if locate(entry.name):
            yield _ok("weights", f"{entry.name} is here")
        else:
            missing = f"{entry.name} is not here ({entry.purpose})"
            yield _warn("weights", missing, f"cvg weights fetch {entry.name}")


def check_tracking(root: Path) -> Iterator[Finding]:
    """The record of runs."""
    from cvg.tracking.store import JOURNALS, inspect_store, store_uri

    uri = store_uri(root)
    if uri.startswith("sqlite:") and not Path(urlparse(uri).path[1:]).is_file():
        yield _ok("tracking", f"{uri} will be made by the first stage")
        return
    try:
        state = inspect_store(uri, root)
    # MLflow raises errors of many kinds; all mean the same here.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        yield _fail("tracking", f"{uri}: {reason}", "see MLFLOW_TRACKING_URI, or CVG_TRACKING=off")
        return
    yield _ok("tracking", f"{uri}, {state.num_runs} runs")
    place = urlparse(state.artifact_location)
    expected = root / "mlartifacts"
    if place.scheme == "file" and uri.startswith("sqlite:") and Path(place.path) != expected:
        yield _warn(
            "tracking",
            f"files of runs go to {place.path}, not to {expected}: the project was moved",
            "move mlflow.db and mlartifacts away to begin a new record, or move the project back",
        )
    for run in state.abandoned:
        yield _warn("tracking", f"run {run} counts as running, its process is gone", "delete it")
    for journal in sorted((root / JOURNALS).glob("*.jsonl")):
        again = f"if no stage is at work: python -m cvg.tracking.recorder {journal}"
        yield _warn("tracking", f"{journal.name} has not reached MLflow", again)


def check_disk(root: Path) -> Iterator[Finding]:
    """Room on the disk."""
    free_gb = shutil.disk_usage(root).free / 1e9
    message = f"{free_gb:.1f} GB free"
    remedy = "dvc gc --workspace; make clean"
    if free_gb < FREE_GB_FAIL:
        yield _fail("disk", message, remedy)
    else:
        yield _ok("disk", message) if free_gb > FREE_GB_WARN else _warn("disk", message, remedy)
    runs_gb = sum(f.stat().st_size for f in (root / ".runs").rglob("*") if f.is_file()) / 1e9
    if runs_gb > RUNS_GB_WARN:
        yield _warn("disk", f".runs holds {runs_gb:.1f} GB of unfinished stages", "make clean")


CHECKS: tuple[Callable[[Path], Iterator[Finding]], ...] = (
    check_packages,
    check_device,
    check_git,
    check_dvc,
    check_params,
    check_weights,
    check_tracking,
    check_disk,
)


def _examine(check: Callable[[Path], Iterator[Finding]], root: Path) -> Iterator[Finding]:
    """Run one check; one that cannot be made is a failure, and does not hide the others."""
    subject = check.__name__.removeprefix("check_")
    try:
        yield from check(root)
    except (ImportError, OSError) as error:
        yield _fail(subject, f"cannot be checked: {error}", "make setup")


def _ok(subject: str, message: str) -> Finding:
    return Finding(subject=subject, state="ok", message=message)


def _warn(subject: str, message: str, remedy: str) -> Finding:
    return Finding(subject=subject, state="warn", message=message, remedy=remedy)


def _fail(subject: str, message: str, remedy: str) -> Finding:
    return Finding(subject=subject, state="fail", message=message, remedy=remedy)


def _git(root: Path, *words: str) -> str | None:
    command = ["git", "-C", str(root), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
