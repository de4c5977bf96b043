"""The outcome of an evaluation on disk."""

from pathlib import Path

import pandas as pd

from cvg.files import replacing_folder, save_arrays, write_json
from cvg.metrics.suite import Suite


def write_suite(folder: Path, suite: Suite) -> None:
    """Write what stands behind the figures.

    - `protocol.json`: each figure with the protocol by which it was computed;
    - `horizon.csv`, `clips.csv`: figures by predicted frame, and by sample;
    - `psnr_by_frame.csv`: PSNR once more, a column a candidate, as `dvc plots` wants it;
    - `pictures.safetensors`: some clips to look at;
    - `absent.json`: which figures are left out, and why.
    """
    with replacing_folder(folder, marker="protocol.json") as temporary:
        write_json(temporary / "protocol.json", suite.scores)
        write_json(temporary / "absent.json", suite.absent)
        horizon = pd.DataFrame(suite.horizon)
        _write_table(temporary / "horizon.csv", horizon)
        _write_table(temporary / "clips.csv", pd.DataFrame(suite.clips))
        _write_table(temporary / "psnr_by_frame.csv", _column_a_candidate(horizon, "psnr"))
        save_arrays(temporary / "pictures.safetensors", suite.pictures)


def _write_table(path: Path, table: pd.DataFrame) -> None:
    table.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")


def _column_a_candidate(horizon: pd.DataFrame, metric: str) -> pd.DataFrame:
    table = horizon.pivot(index="frame", columns="candidate", values=metric).reset_index()
    # Vega, which draws it, takes a dot in a name for a level of nesting.
    return table.rename(columns=lambda name: name.rpartition(".")[2])
