"""Pages of the course: a lesson and the table of claims as HTML."""

from __future__ import annotations

import copy
import re
from collections import Counter
from dataclasses import dataclass, field
from html import escape

from nbformat import NotebookNode

from sslcourse.plots import table
from sslcourse.talk.registry import STATUSES


@dataclass
class Result:
    """How one lesson went."""

    name: str
    title: str
    seconds: float
    error: str = ""
    claims: list[dict] = field(default_factory=list)
    more: bool = False  # a notebook of `more/`

    @property
    def label(self) -> str:
        return f"more/{self.name}" if self.more else self.name[:2]

    @property
    def page(self) -> str:
        return f"{self.label}.html"


def title_of(notebook: NotebookNode, otherwise: str) -> str:
    """The notebook's first heading."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (found := re.search(r"^#\s+(.+)$", cell.source, re.M)):
            return found.group(1).strip()
    return otherwise


def to_html(notebook: NotebookNode, title: str, more: bool = False) -> str:
    """One page: alt text from the outputs' metadata, and links between notebooks made links between pages.

    more: the notebook lies in `more/`. A lesson's page goes by its number, one of `more/` by its name.
    """
    from nbconvert import HTMLExporter

    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            alt = output.get("metadata", {}).get("image/png", {}).get("alt")
            if alt:  # nbconvert's own template forgets it
                picture = output.data.pop("image/png").replace("\n", "")
                output.data["text/html"] = f'<img alt="{escape(alt)}" src="data:image/png;base64,{picture}">'
    page, _ = HTMLExporter().from_notebook_node(notebook, {"metadata": {"name": title}})

    def linked(link: re.Match) -> str:
        way, number, topic, part = link.groups(default="")
        lesson = way == "../" if more else not way
        return f'href="{way}{number}{"" if lesson else topic}.html{part}"'

    way = r"(\.\./)?" if more else r"(more/)?"
    return re.sub(rf'href="(?:\./)?{way}(\d\d)(_[\w-]+)\.ipynb(#[^"]*)?"', linked, page)


def tally(claims: list[dict]) -> str:
    """`7 verdicts: 4 holds, 2 not settled, 1 does not hold; 3 explored`."""
    found = Counter(claim["status"] for claim in claims)
    explored = found.pop("explored", 0)
    known = [status for status in (*STATUSES, *found) if found[status]]
    said = f"{found.total()} verdicts" + (
        f": {', '.join(f'{found[s]} {s}' for s in dict.fromkeys(known))}" if known else ""
    )
    return said + (f"; {explored} explored" if explored else "")


def claims_table(results: list[Result]):
    """Every claim judged: lesson, text, numbers, verdict."""
    rows = [
        {
            "lesson": r.label,
            "": c["id"],
            "claim": c["text"],
            "on": c.get("on", ""),
            "numbers": c["numbers"],
            "verdict": c["status"],
        }
        for r in results
        for c in r.claims
    ]
    return table(rows, ["lesson", "", "claim", "on", "numbers", "verdict"])


def index_html(results: list[Result], profile: str) -> str:
    """The page that lists the lessons and every claim."""
    items = []
    for r in results:
        state = "failed" if r.error else tally(r.claims)
        link = f'<a href="{r.page}">{escape(r.title)}</a>'
        items.append(f"<li>{r.label} {link} <small>{r.seconds:.0f} s, {state}</small></li>")
    style = (
        "body{font:16px/1.5 sans-serif;max-width:62em;margin:2em auto;padding:0 1em}"
        "table{border-collapse:collapse}"
        "td,th{padding:.3em .7em;border-bottom:1px solid #ddd;vertical-align:top}"
    )
    claims = claims_table(results)._repr_html_()
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>sslcourse</title>'
        f"<style>{style}</style></head><body><h1>sslcourse</h1><p>Profile {profile}.</p>"
        f"<ul>{''.join(items)}</ul>"
        f"<h2>Claims</h2>{claims}</body></html>\n"
    )
