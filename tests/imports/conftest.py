"""Tiny trees in the layouts of public data sets, and the way to import them."""

import csv
import runpy
import struct
from pathlib import Path

import numpy as np
import pytest
from tfrecord import example_pb2
from tfrecord.writer import TFRecordWriter

from cvg.imports.account import Request
from cvg.imports.kinds import Kind, View
from cvg.imports.registry import run_import
from cvg.videos.manifest import read_manifest

# pytest's importlib mode gives test files no common package to import from.
films = runpy.run_path(str(Path(__file__).parents[1] / "films.py"))["films"]

SIDE, STEPS = 64, 30


class Site:
    """A folder of data and, beside it, the manifest made of it."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.data.mkdir()
        self.manifest = folder / "manifest.csv"

    def touch(self, *names: str) -> None:
        """Put files there that hold something, if no video."""
        for name in names:
            self.write(name, "x")

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def run(self, kind: str, *, replace: bool = False, **options):
        if "view" in options:
            options["view"] = View(options["view"])
        request = Request(folder=self.data, manifest=self.manifest, **options)
        return run_import(Kind(kind), request, replace=replace)

    def rows(self) -> list[dict[str, str]]:
        with self.manifest.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def column(self, name: str) -> list[str]:
        return [row[name] for row in self.rows()]

    def entries(self):
        """Read the manifest as the pipeline does; nothing may be skipped."""
        manifest = read_manifest(self.manifest)
        assert manifest.skips == ()
        return manifest.entries


def reasons(account) -> dict[str, str]:
    """What was left out, by what it is."""
    assert len(dict(account.left_out)) == len(account.left_out)
    return dict(account.left_out)


def trajectory(number: int, *, steps: int = STEPS) -> dict[str, tuple[object, str]]:
    """One record of BAIR; pixels and actions tell number, step and camera."""
    features: dict[str, tuple[object, str]] = {}
    for step in range(steps):
        for view, shade in (("main", 0), ("aux1", 100)):
            frame = np.full((SIDE, SIDE, 3), shade + number, dtype=np.uint8)
            frame[0, 0] = step
            features[f"{step}/image_{view}/encoded"] = (frame.tobytes(), "byte")
        features[f"{step}/action"] = ([number, step, 0.5, -1.0], "float")
        features[f"{step}/endeffector_pos"] = ([0.0, 0.0, 0.0], "float")
    return features


def write_records(path: Path, *records: dict[str, tuple[object, str]]) -> Path:
    """Write with the package tfrecord, which knows nothing of this project."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = TFRecordWriter(str(path))
    for record in records:
        writer.write(record)
    writer.close()
    return path


def write_raw(path: Path, *payloads: bytes) -> Path:
    """Frame any bytes as records."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for payload in payloads:
            length = struct.pack("<Q", len(payload))
            for part in (length, payload):
                file.write(part + TFRecordWriter.masked_crc(part))
    return path


class Bair:
    """The writers above as one fixture."""

    trajectory = staticmethod(trajectory)
    write = staticmethod(write_records)
    write_raw = staticmethod(write_raw)
    Example = example_pb2.Example


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An empty folder of data."""
    return Site(tmp_path)


@pytest.fixture(scope="session")
def left_out():
    """Look up what was left out."""
    return reasons


@pytest.fixture(scope="session")
def bair() -> type[Bair]:
    """Writers of records."""
    return Bair
