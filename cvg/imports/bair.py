"""BAIR robot pushing (small): 30 frames of two cameras and the actions, from TFRecord files."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from cvg.errors import UserError
from cvg.imports.account import Import, Ledger, Request, layout_error
from cvg.imports.clips import Clips, unpacking
from cvg.imports.kinds import Kind, View
from cvg.imports.records import Damage, read_features, read_records
from cvg.progress import Steps
from cvg.videos.images import natural_key

ROOT = "softmotion30_44k"
SPLITS = {"train": "train", "test": "held_out"}
STEPS, SIDE, ACTION = 30, 64, 4
LAYOUT = f"""
  {ROOT}/train/traj_*_to_*.tfrecords
  {ROOT}/test/traj_*_to_*.tfrecords
"""


class _StrangeError(Exception):
    """A record that holds something else than BAIR's do; the text is the reason."""


def import_bair(request: Request) -> Import:
    """Unpack each record to `clips/frames/*.npy` and `clips/actions/*.npy` beside the manifest.

    Side effects: writes the folder `clips` beside the manifest.

    Raises:
        UserError: the folder is not laid out so, the packages are missing, or no record is whole.
    """
    files = list(_files(request))
    if not files:
        raise layout_error(request, f"{ROOT}/train/*.tfrecords and no {ROOT}/test", LAYOUT)
    ledger = Ledger(Kind.BAIR, request)
    found = 0
    with (
        unpacking(Kind.BAIR, request) as clips,
        Steps("unpacking files of records", total=len(files)) as steps,
    ):
        for path, split in files:
            found += _unpack(path, ledger, clips, request=request, split=split)
            steps.advance()
        account = ledger.close(found=found)
        if not account.rows:
            what, reason = account.left_out[0]
            raise UserError(f"{request.path}: no record is whole; the first, {what}: {reason}")
    return account


def _files(request: Request) -> Iterator[tuple[Path, str]]:
    inner = request.path / ROOT
    root = inner if inner.is_dir() else request.path
    for name, split in SPLITS.items():
        paths = [path for path in (root / name).glob("*.tfrecords") if path.is_file()]
        for path in sorted(paths, key=lambda path: natural_key(path.name)):
            yield path, split


def _unpack(path: Path, ledger: Ledger, clips: Clips, *, request: Request, split: str) -> int:
    """Unpack the records of a file; gives how many there are, 1 for a file without any."""
    inside = f"{path.parent.name}/{path.name}"
    view = request.view or View.AUX1
    number = 0
    for number, record in enumerate(read_records(path), 1):
        what = f"{inside}, record {number}"
        try:
            frames, actions = _arrays(record, view)
        except _StrangeError as error:
            ledger.leave(what, str(error))
            continue
        name = f"{path.parent.name}/{path.stem}-{number:04}"
        ledger.use(
            clips.save(f"frames/{name}", frames),
            what=what,
            split=split,
            fps=request.fps,
            actions=clips.save(f"actions/{name}", actions),
            view=view,
        )
    if number == 0:
        ledger.leave(inside, "a file without records")
    return max(number, 1)


def _arrays(
    record: bytes | Damage, view: View
) -> tuple[UInt8[np.ndarray, "t h w 3"], Float32[np.ndarray, "t a"]]:
    if isinstance(record, Damage):
        raise _StrangeError(record.reason)
    images = [f"{step}/image_{view}/encoded" for step in range(STEPS)]
    moves = [f"{step}/action" for step in range(STEPS)]
    features = read_features(record, images + moves)
    if features is None:
        raise _StrangeError("not a tf.train.Example; expected one in each record")
    pixels = [features[name][0] if len(features[name]) == 1 else b"" for name in images]
    if any(not isinstance(frame, bytes) or len(frame) != SIDE * SIDE * 3 for frame in pixels):
        raise _StrangeError(
            f"without {STEPS} steps of image_{view}/encoded, each {SIDE} x {SIDE} x 3 bytes"
        )
    actions = [features[name] for name in moves]
    if any(len(row) != ACTION or any(isinstance(cell, bytes) for cell in row) for row in actions):
        raise _StrangeError(f"without {STEPS} steps of action, each {ACTION} numbers")
    frames = np.frombuffer(b"".join(pixels), dtype=np.uint8).reshape(STEPS, SIDE, SIDE, 3)
    return frames, np.array(actions, dtype=np.float32)
