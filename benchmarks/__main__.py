"""All benchmarks that have a peer or a bound, one table: `python -m benchmarks`, or `make bench`.

Each script runs in a process of its own, one after the other; leave the machine alone meanwhile.
The figures go to `benchmarks/results/DATE-PROCESSOR.json`, which is committed.
"""

import argparse
import datetime
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Row, machine, markdown_table, print_table
from cvg.files import read_json, write_json

# What each script measures.
SCRIPTS = {
    "extract": "extract",
    "frame_store": "reading frames",
    "vqgan": "VQGAN",
    "transformer_training": "training of transformers",
    "sampling": "sampling",
    "metrics": "figures",
}
RESULTS = Path(__file__).with_name("results")


def run(script: str, *, small: bool) -> list[Row]:
    """Run one script; give its rows."""
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "figures.json"
        command = [sys.executable, "-m", f"benchmarks.{script}", "--json", str(figures)]
        subprocess.run([*command, *(["--small"] if small else [])], check=True)
        return [Row(**row) for row in read_json(figures)["rows"]]


def newest() -> str:
    """Give a table in Markdown of the last results: all that has a peer or a bound."""
    path = max(RESULTS.glob("*.json"))
    measured = read_json(path)
    rows = [
        Row(**row | {"name": _under(told, row["name"])})
        for script, told in SCRIPTS.items()
        for row in measured["rows"].get(script, [])
    ]
    compared = [row for row in rows if row.peer is not None and not row.name.endswith(row.peer)]
    date = path.name[: len("2026-01-01")]
    return f"{markdown_table(compared)}\n\n{date}, {measured['machine']}.\n"


def _under(told: str, name: str) -> str:
    return name if name.startswith(told) else f"{told}: {name}"


def main() -> None:
    """Run all, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scripts", nargs="*", choices=[*SCRIPTS, []], metavar="SCRIPT")
    parser.add_argument("--small", action="store_true", help="little work; no figures to keep")
    parser.add_argument("--table", action="store_true", help="measure nothing; print the last")
    arguments = parser.parse_args()
    if arguments.table:
        print(newest(), end="")
        return
    by_script = {
        script: run(script, small=arguments.small) for script in arguments.scripts or SCRIPTS
    }
    rows = [row for rows in by_script.values() for row in rows]
    print_table(rows)
    print(machine())
    if arguments.small:
        return
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    processor = re.sub(r"\W+", "-", machine().partition(",")[0]).strip("-").lower()
    path = RESULTS / f"{date}-{processor}.json"
    measured = {script: [vars(row) for row in rows] for script, rows in by_script.items()}
    # What other scripts gave on this day stays.
    before = read_json(path)["rows"] if path.is_file() else {}
    write_json(path, {"machine": machine(), "rows": before | measured})
    print(f"written: {path}")


if __name__ == "__main__":
    main()
