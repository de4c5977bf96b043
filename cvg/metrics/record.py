"""The outcome of an evaluation on disk."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cvg.files import replacing_folder, save_arrays, write_json
from cvg.metrics.evaluate import Evaluation
from cvg.metrics.names import figure_key
from cvg.metrics.score_folders import FolderScores
from cvg.metrics.suite import Suite

MARKER = "protocol.json"  # that every folder of scores holds


def write_suite(folder: Path, suite: Suite) -> None:
    """Write what stands behind the figures.

    - `protocol.json`: each figure with the protocol by which it was computed;
    - `horizon.csv`, `clips.csv`: figures by predicted frame, and by sample;
    - `psnr_by_frame.csv`: PSNR once more, a column a candidate, as `dvc plots` wants it;
    - `pictures.safetensors`: some clips to look at;
    - `absent.json`: which figures are left out, and why.
    """
    with replacing_folder(folder, marker=MARKER) as temporary:
        write_json(temporary / MARKER, suite.scores)
        write_json(temporary / "absent.json", suite.absent)
        horizon = pd.DataFrame(suite.horizon)
        _write_table(temporary / "horizon.csv", horizon)
        _write_table(temporary / "clips.csv", pd.DataFrame(suite.clips))
        _write_table(temporary / "psnr_by_frame.csv", _column_a_candidate(horizon, "psnr"))
        save_arrays(temporary / "pictures.safetensors", suite.pictures)


def write_folder_scores(folder: Path, found: FolderScores) -> None:
    """Write the scores of videos of anyone's model; the files are those of `write_suite`.

    There are no pictures, and one more file: `warnings.json`.
    """
    evaluation = found.evaluation
    with replacing_folder(folder, marker=MARKER) as temporary:
        scores = [{"candidate": "sample"} | score.to_dict() for score in evaluation.scores.values()]
        write_json(temporary / MARKER, scores)
        write_json(temporary / "absent.json", list(evaluation.absent))
        write_json(temporary / "warnings.json", list(found.warnings))
        _write_table(temporary / "clips.csv", _clip_table(found.names, evaluation))
        frames = pd.DataFrame(
            {figure_key(name): values for name, values in evaluation.horizon.items()}
        )
        frames.insert(0, "frame", range(1, len(frames) + 1))
        _write_table(temporary / "horizon.csv", frames)


def _clip_table(names: Sequence[str], evaluation: Evaluation) -> pd.DataFrame:
    figures = {figure_key(name): values for name, values in evaluation.per_clip.items()}
    return pd.DataFrame({"clip": names} | figures) if figures else pd.DataFrame({"clip": []})


def _write_table(path: Path, table: pd.DataFrame) -> None:
    table.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")


def _column_a_candidate(horizon: pd.DataFrame, metric: str) -> pd.DataFrame:
    table = horizon.pivot(index="frame", columns="candidate", values=metric).reset_index()
    # Vega, which draws it, takes a dot in a name for a level of nesting.
    return table.rename(columns=lambda name: name.rpartition(".")[2])
