"""The outcome of an evaluation on disk."""

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from cvg.files import replacing_folder, save_arrays, write_json, write_rows
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
        write_rows(temporary / "horizon.csv", suite.horizon)
        write_rows(temporary / "clips.csv", suite.clips)
        by_frame = _column_a_candidate(suite.horizon, "psnr")
        write_rows(temporary / "psnr_by_frame.csv", by_frame)
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
        _write_columns(temporary / "clips.csv", "clip", found.names, evaluation.per_clip)
        frames = range(1, max(map(len, evaluation.horizon.values()), default=0) + 1)
        _write_columns(temporary / "horizon.csv", "frame", frames, evaluation.horizon)


def _write_columns(
    path: Path, key: str, keys: Sequence[Any], figures: Mapping[str, Iterable[float]]
) -> None:
    """Write figures as columns, behind one that says what a row is of; no row without figures."""
    names = [key, *map(figure_key, figures)]
    columns = zip(keys, *(map(float, values) for values in figures.values()), strict=True)
    rows = [dict(zip(names, row, strict=True)) for row in columns] if figures else []
    write_rows(path, rows, names=names)


def _column_a_candidate(horizon: Iterable[Mapping[str, Any]], metric: str) -> list[dict[str, Any]]:
    """Give a row a frame, with the metric of each candidate."""
    rows: dict[int, dict[str, Any]] = {}
    for row in sorted(horizon, key=itemgetter("frame", "candidate")):
        # Vega, which draws it, takes a dot in a name for a level of nesting.
        name = row["candidate"].rpartition(".")[2]
        rows.setdefault(row["frame"], {"frame": row["frame"]})[name] = row[metric]
    return list(rows.values())
