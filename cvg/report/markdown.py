"""The report in short, as Markdown: for a pull request."""

from collections.abc import Iterator, Sequence

from cvg.report.about import About
from cvg.report.accepted import since_accepted
from cvg.report.gates import gate_lines, missed_sentences
from cvg.report.source import Source
from cvg.report.summary import interval_sentence, main_table, run_sentence
from cvg.report.verdict import judge


def markdown(source: Source, about: About | None = None) -> str:
    """Give verdict, main figures, health, what is absent, and what made it."""
    return "\n".join(_lines(source, about)) + "\n"


def _lines(source: Source, about: About | None) -> Iterator[str]:
    verdict, table = judge(source), main_table(source)
    yield "# Report"
    yield from ("", _text(run_sentence(source)), "", f"**{_text(verdict.headline)}**", "")
    yield from (f"- {_text(finding.sentence)}" for finding in verdict.findings)
    since = since_accepted(source)
    if since is not None:
        yield from ("", "## Since the last accepted run", "", _text(since.sentence), "")
        yield from _table(
            ("Figure", "Before", "Now", ""),
            [(one.title, one.before, one.now, one.verdict) for one in since.changes],
        )
        yield from (f"\n{_text(caution)}" for caution in since.cautions)
    yield from ("", "## Figures", "")
    headings = [
        f"{m.title} {'↑' if m.higher_is_better else '↓'}" if m.judges else m.title
        for m in table.metrics
    ]
    rows = [
        (
            line.candidate.title,
            *(f"**{cell.text}**" if cell.is_best else cell.text for cell in line.cells),
        )
        for line in table.lines
    ]
    yield from _table(("", *headings), rows)
    yield from ("", _text(interval_sentence(source.scores)))
    missed = missed_sentences(gate_lines(source))
    if missed:
        yield from ("", "## The VQGAN missed its health gate", "")
        yield from (f"- {_text(sentence)}" for sentence in missed)
    absent = list(dict.fromkeys([*source.absent, *source.check.absent]))
    if absent:
        yield from ("", "## Absent", "")
        yield from (f"- {_text(sentence)}" for sentence in absent)
    if about is not None:
        yield from ("", "## Made by", "", f"- Commit: {about.commit_sentence}")
        yield f"- Command: `{about.command}`"
        yield from (f"- {name}: {_text(text)}" for name, text in about.lines)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(_text(heading) for heading in headings)} |"
    yield f"| --- |{' ---: |' * (len(headings) - 1)}"
    for row in rows:
        yield f"| {' | '.join(_text(text) for text in row)} |"


def _text(text: str) -> str:
    r"""Keep what people wrote from being read as a table, as HTML, or as a line of its own.

    >>> _text("a|b <b>")
    'a\\|b &lt;b>'
    """
    return " ".join(text.replace("|", r"\|").replace("<", "&lt;").split())
