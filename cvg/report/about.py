"""What made a report: commit, versions and machine, so that it can be made again."""

import importlib.metadata
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("cvg", "torch", "numpy", "dvc", "lpips", "av")


@dataclass(frozen=True, kw_only=True)
class About:
    """What a report was made of, and by.

    Attributes:
        commit: of Git; None outside of a repository.
        changed: whether tracked files differ from that commit.
        command: that made the report.
        lines: name and text of each other fact.
    """

    commit: str | None
    changed: bool
    command: str
    lines: tuple[tuple[str, str], ...]

    @property
    def commit_sentence(self) -> str:
        """Say of which state of the code the report is."""
        if self.commit is None:
            return "outside of a Git repository"
        return f"{self.commit[:12]}{', and changes since' if self.changed else ''}"


def describe(folder: Path, *, command: str, device: str) -> About:
    """Look at this machine and at the repository that a folder lies in.

    Args:
        folder: of the project.
        command: that makes the report.
        device: that stages use.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    versions = [f"{name} {version}" for name in PACKAGES if (version := _version(name))]
    return About(
        commit=commit,
        changed=bool(_git(folder, "status", "--porcelain", "--untracked-files=no")),
        command=command,
        lines=(
            ("Python", platform.python_version()),
            ("Packages", ", ".join(versions)),
            ("System", f"{platform.system()} {platform.machine()}"),
            ("Device", device),
        ),
    )


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
