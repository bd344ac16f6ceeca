"""What readers of a report see: its tables, notes and answers, read back by a Markdown parser."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt

from bench.report.answers import answers
from bench.report.results import Results

Row = dict[str, str]


PARSER = MarkdownIt("commonmark").enable("table")


def said(results: Results) -> str:
    """Return all answers as one text, a finding a line."""
    return "\n".join(f"{one.lead}: {one.text}" for answer in answers(results) for one in answer.findings)


def parsed(text: str) -> list[list[Row]]:
    """Return the tables as rows by header, where equal headers get ` 2`; raw HTML and foreign links are not allowed."""
    tables: list[list[Row]] = []
    header: list[str] = []
    row: list[str] = []
    for place, token in enumerate(tokens := PARSER.parse(text)):
        assert token.type != "html_block", token.content
        for child in token.children or []:
            assert child.type != "html_inline", child.content
            assert child.type != "link_open" or re.search(r"\.md(#[\w-]+)?$", str(child.attrs["href"])), child.attrs
        if token.type == "table_open":
            tables.append([])
            header = []
        elif token.type == "tr_open":
            row = []
        elif token.type in ("th_open", "td_open"):
            row.append("".join(child.content for child in tokens[place + 1].children or []))
        elif token.type == "tr_close":
            if header:
                tables[-1].append(dict(zip(header, row, strict=True)))
            else:
                header = [f"{text} 2" if text in row[:number] else text for number, text in enumerate(row)]
    return tables


def only(rows: list[Row], **wanted: str) -> Row:
    found = [row for row in rows if all(re.sub(r" \[.*", "", row[key]) == value for key, value in wanted.items())]
    assert len(found) == 1, (wanted, rows)
    return found[0]


def notes(text: str) -> dict[int, str]:
    """Return the rendered text of the numbered footnotes."""
    tokens = PARSER.parse(text[text.index("## Notes") :])
    lines = ["".join(c.content for c in token.children or []) for token in tokens[3:] if token.type == "inline"]
    return dict(enumerate(lines, 1))


def marks(cell: str) -> list[int]:
    found = re.search(r" \[([\d, ]+)\]$", cell)
    return [int(number) for number in found[1].split(",")] if found else []
