"""Moving MNIST: one array of 10,000 sequences, time first."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy.lib.format import open_memmap

from cvg.errors import UserError
from cvg.imports.account import Import, Ledger, Request, layout_error
from cvg.imports.clips import unpacking
from cvg.imports.kinds import Kind
from cvg.progress import Steps

FILE = "mnist_test_seq.npy"
LENGTH = 20
LAYOUT = f"""
  {FILE}        uint8 [20, 10000, 64, 64], time first
"""


def import_moving_mnist(request: Request) -> Import:
    """Unpack each sequence to `clips/frames/*.npy` beside the manifest.

    Side effects: writes the folder `clips` beside the manifest.

    Raises:
        UserError: the file is missing or holds something else, or nothing is left to train on.
    """
    path = request.path / FILE
    if not path.is_file():
        raise layout_error(request, f"file {FILE}", LAYOUT)
    sequences = _open(path)
    count = sequences.shape[1]
    first_held_out = count - (request.held_out or 0)
    if first_held_out <= 0:
        raise UserError(
            f"--held-out: found {request.held_out}, expected less than the {count} there are"
        )
    ledger = Ledger(Kind.MOVING_MNIST, request)
    with (
        unpacking(Kind.MOVING_MNIST, request) as clips,
        Steps("unpacking sequences", total=count) as steps,
    ):
        for number in range(count):
            name = f"{number:0{len(str(count - 1))}}"
            split = "held_out" if number >= first_held_out else "train"
            ledger.use(
                clips.save(f"frames/{name}", np.ascontiguousarray(sequences[:, number])),
                what=f"sequence {number}",
                split=split if request.held_out is not None else None,
                fps=request.fps,
            )
            steps.advance()
    return ledger.close(found=count)


def _open(path: Path) -> UInt8[np.ndarray, "t n h w"]:
    """Map the file into memory, so that no more of it is read than is written."""
    try:
        array = open_memmap(path, mode="r")
    # NumPy reads the header as Python, and a damaged one raises all that tokens and literals can.
    except Exception as error:
        raise UserError(
            f"{path}: not an array, or cut short ({error}); fetch the official file again"
        ) from error
    if array.ndim != 4 or array.dtype != np.uint8 or len(array) != LENGTH or not array.size:
        raise UserError(
            f"{path}: found {array.dtype} {list(array.shape)}, expected uint8 "
            f"[{LENGTH}, sequences, height, width], time first"
        )
    return array
