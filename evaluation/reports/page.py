"""The frame of a report: one HTML page that needs no other file and no network."""

import html
from collections.abc import Iterable, Sequence

from .tables import DOWN, UP, Table

STYLE = """
:root { --ink:#1c2733; --soft:#5b6b7a; --line:#dfe5eb; --paper:#ffffff; --ground:#f4f6f8;
  --accent:#0b7285; --reference:#12b4bb; --prediction:#f08c2e; }
* { box-sizing:border-box; }
body { margin:0; background:var(--ground); color:var(--ink); overflow-wrap:break-word;
  font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif; }
header { background:linear-gradient(135deg,#0b2733,#0b5566); color:#fff;
  padding:2.2rem 0 4.2rem; }
header > div, main, footer { max-width:76rem; margin:0 auto; }
header > div { padding:0 1.2rem; }
header p { margin:.3rem 0 0; color:#bfd9df; }
h1 { margin:0; font-size:1.7rem; line-height:1.2; overflow-wrap:anywhere; }
h2 { margin:2.4rem 0 .2rem; font-size:1.3rem; }
h3 { margin:1.6rem 0 .5rem; font-size:1.02rem; }
main { padding:0 1.2rem 2rem; }
.tiles { display:grid; grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr)); gap:.8rem;
  margin-top:-3rem; }
.tile, .card { background:var(--paper); border:1px solid var(--line); border-radius:.7rem;
  box-shadow:0 1px 3px rgb(20 40 60 / 7%); }
.tile { padding:.85rem 1rem; }
.tile b { display:block; font-size:1.55rem; line-height:1.25; font-variant-numeric:tabular-nums; }
.tile span { color:var(--soft); font-size:.84rem; display:block; }
.card { padding:1rem 1.1rem; margin:.8rem 0; }
.soft { color:var(--soft); }
.scroll { overflow-x:auto; background:
  linear-gradient(90deg,transparent,var(--paper) 70%) right/3rem 100% no-repeat local,
  linear-gradient(270deg,rgb(20 40 60 / 22%),transparent) right/1rem 100% no-repeat; }
table { border-collapse:collapse; font-size:.84rem; font-variant-numeric:tabular-nums; width:100%; }
th, td { padding:.42rem .38rem; text-align:right; border-bottom:1px solid var(--line);
  white-space:nowrap; }
th:first-child, td:first-child { text-align:left; font-weight:600; position:sticky; left:0;
  background:var(--paper); }
thead th { color:var(--soft); font-weight:600; white-space:normal; vertical-align:bottom;
  border-bottom:2px solid var(--line); }
td small { color:var(--soft); display:block; font-size:.76rem; letter-spacing:-.01em; }
tbody tr:last-child td { border-bottom:0; }
.figures { display:grid; grid-template-columns:repeat(auto-fill,minmax(min(100%,26rem),1fr));
  gap:.8rem; align-items:start; }
.figures .card { overflow-x:auto; }
svg { width:100%; min-width:28rem; height:auto; display:block; }
.cases { display:grid; grid-template-columns:repeat(auto-fill,minmax(min(46%,16rem),1fr));
  gap:.8rem; }
figure.card { margin:0; overflow:hidden; padding:0; }
figure img { width:100%; display:block; background:#000; aspect-ratio:4/3; object-fit:contain; }
figcaption { padding:.55rem .8rem .7rem; font-size:.82rem; overflow-wrap:anywhere; }
figcaption b { font-variant-numeric:tabular-nums; }
.key i { display:inline-block; width:1.4rem; height:.28rem; border-radius:.2rem;
  margin:0 .35rem .2rem 0; }
.key span { margin-right:1.1rem; white-space:nowrap; }
code, pre { font:0.84rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace; }
pre { background:#0f1f29; color:#dcebf0; padding:.9rem 1rem; border-radius:.6rem;
  white-space:pre-wrap; overflow-wrap:anywhere; }
.note { border-left:4px solid #e8590c; }
dt { font-weight:600; margin-top:.6rem; } dd { margin:0 0 .2rem; }
footer { padding:0 1.2rem 3rem; color:var(--soft); font-size:.85rem; }
@media (max-width:34rem) { h1 { font-size:1.35rem; } .card { padding:.8rem; } }
@media print { body { background:#fff; } .card, .tile { break-inside:avoid; box-shadow:none; } }
"""


def page(*, title: str, subtitle: str, body: str) -> str:
    """Return the whole document around its body."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<header><div><h1>{text(title)}</h1><p>{text(subtitle)}</p></div></header>\n"
        f"<main>\n{body}\n</main>\n"
        "<footer>Research software. Not a medical device; not for diagnosis or treatment."
        "</footer>\n</body>\n</html>\n"
    )


def text(content: object) -> str:
    """Return text that cannot be taken for markup."""
    return html.escape(str(content))


def tile(*, value: str, label: str, detail: str = "") -> str:
    """Return one large figure with what it is."""
    return (
        f'<div class="tile"><span>{text(label)}</span><b>{text(value)}</b>'
        f"<span>{text(detail)}</span></div>"
    )


def card(content: str, *, kind: str = "") -> str:
    """Return a framed part of the page; `content` is markup already."""
    return f'<div class="card {kind}">{content}</div>'


def html_table(table: Table) -> str:
    """Return a table that scrolls sideways on a narrow screen; intervals stand below their mean."""
    titles = (text(title).replace(f" {UP}", f"&nbsp;{UP}") for title in table.titles)
    head = "".join(f"<th>{title.replace(f' {DOWN}', f'&nbsp;{DOWN}')}</th>" for title in titles)
    rows = "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in table.rows)
    return card(
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
        "</div>"
    )


def definitions(entries: Iterable[tuple[str, str]]) -> str:
    """Return a list of terms and what they mean."""
    return f"<dl>{''.join(f'<dt>{text(a)}</dt><dd>{text(b)}</dd>' for a, b in entries)}</dl>"


def bullets(entries: Sequence[str]) -> str:
    """Return a list of sentences."""
    return f"<ul>{''.join(f'<li>{text(entry)}</li>' for entry in entries)}</ul>"


def _cell(cell: str) -> str:
    mean, bracket, interval = cell.partition(" [")
    if not bracket:
        return f"<td>{text(cell)}</td>"
    return f"<td>{text(mean)}<small>[{text(interval)}</small></td>"
