"""What every benchmark needs: fair timing against a peer, one table, one file of figures."""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cvg.files import write_json

ROUNDS = 5


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure, and that of a peer.

    Attributes:
        name: what was measured.
        value: of the median round.
        best: of the fastest round.
        unit: of all three values.
        peer: what does the same work in another way; None where nothing is compared.
        peer_value: of its median round.
        ratio: how many times as fast as the peer, of the medians.
    """

    name: str
    value: float
    best: float
    unit: str
    peer: str | None = None
    peer_value: float | None = None
    ratio: float | None = None


def alternate(
    functions: Mapping[str, Callable[[], object]], rounds: int = ROUNDS
) -> dict[str, list[float]]:
    """Time functions in turn, so that a slow moment of the machine hits all alike.

    Args:
        functions: name to what is timed. Each is called once more before, as a warm-up.
        rounds: calls of each that are timed.

    Returns:
        Name to seconds, one a round.
    """
    for function in functions.values():
        function()
    times = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    return times


def row_of(
    times: Mapping[str, Sequence[float]],
    name: str,
    *,
    peer: str | None = None,
    work: float | None = None,
    unit: str = "s",
) -> Row:
    """Make a row of the times of `name`.

    Args:
        times: name to seconds, as `alternate` gives them.
        name: whose times.
        peer: whose times they are compared with.
        work: what one call does, such as a number of frames; the values are then work a second.
            None: the values are seconds.
        unit: of the values.
    """

    def value(seconds: float) -> float:
        return seconds if work is None else work / seconds

    median = statistics.median(times[name])
    peer_median = None if peer is None else statistics.median(times[peer])
    return Row(
        name=name,
        value=value(median),
        best=value(min(times[name])),
        unit=unit,
        peer=peer,
        peer_value=None if peer_median is None else value(peer_median),
        ratio=None if peer_median is None else peer_median / median,
    )


def main(
    rows: Callable[[], Iterable[Row]], *, small: Callable[[], Iterable[Row]] | None = None
) -> None:
    """Measure as the command line says, print the table, write the figures.

    Args:
        rows: measures.
        small: the same with little work, to see that it runs.
    """
    parser = argparse.ArgumentParser()
    add_json_option(parser)
    if small is not None:
        parser.add_argument("--small", action="store_true", help="little work; no figures to keep")
    arguments = parser.parse_args()
    chosen = small if small is not None and arguments.small else rows
    report(list(chosen()), arguments.json)


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Let the command line name a file of figures."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")


def report(rows: Sequence[Row], path: Path | None) -> None:
    """Print the table, and write the figures where a file is named."""
    print_table(rows)
    print(machine())
    if path is not None:
        write_json(path, {"machine": machine(), "rows": [asdict(row) for row in rows]})


def print_table(rows: Sequence[Row]) -> None:
    """Print one line a row."""
    names = max([len(row.name) for row in rows], default=0)
    peers = max([len(row.peer or "") for row in rows], default=0)
    head = f"{'':<{names}} {'best':>10} {'median':>10} {'unit':<9}"
    print(f"{head} {'peer':<{peers}} {'its median':>10} {'ratio':>6}" if peers else head)
    for row in rows:
        line = f"{row.name:<{names}} {row.best:>10.4g} {row.value:>10.4g} {row.unit:<9}"
        if row.peer is not None:
            line += f" {row.peer:<{peers}} {row.peer_value:>10.4g} {row.ratio:>6.2f}"
        print(line)


def markdown_table(rows: Sequence[Row]) -> str:
    """Give a table of medians beside those of the peers."""
    lines = [
        "| measured | ours | peer or bound | its | ratio |",
        "| --- | ---: | --- | ---: | ---: |",
    ]
    lines += [
        f"| {row.name} | {readable(row.value)} {row.unit} | {row.peer} | "
        f"{readable(row.peer_value or 0.0)} | {row.ratio:.2f} |"
        for row in rows
    ]
    return "\n".join(lines)


def readable(value: float) -> str:
    """Give four digits, and no power of ten for large numbers."""
    digits = float(f"{value:.4g}")
    return f"{digits:,.0f}" if digits >= 1000 else f"{digits:.4g}"


def machine() -> str:
    """Describe where and when the figures were taken."""
    load = os.getloadavg()[0]
    return (
        f"{_cpu()}, {os.cpu_count()} cores, load {load:.1f} at the end; "
        f"{platform.system()}, Python {platform.python_version()}"
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()
