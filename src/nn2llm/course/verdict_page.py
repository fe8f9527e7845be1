"""A verdict as text and as a small piece of HTML that stands alone, for notebooks.

Read grading/evidence.py for what it holds. Used by notebook_check.py; the course's pages and the terminal
have their own. Colours are those of the notebook, light or dark; every judgement is a word. Evidence comes
first, the diagnosis is folded.
"""

import html
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["format_verdict", "render_verdict"]

_HEADS = {
    "passed": "Passed",
    "failed": "Failed",
    "unfinished": "Not finished",
    "error": "Error",
    "stopped": "Stopped",
}
_PRINTED_LINES = 30
_STYLE = """\
.nn2llm-verdict{border-left:4px solid #888;padding:.2em 1em;margin:.5em 0;line-height:1.45}
.nn2llm-verdict.passed{border-color:#2e8b57}.nn2llm-verdict.failed,.nn2llm-verdict.error,\
.nn2llm-verdict.stopped{border-color:#c0504d}
.nn2llm-verdict pre{margin:.2em 0;background:rgba(128,128,128,.12);padding:.3em .6em;overflow-x:auto}
.nn2llm-verdict table{border-collapse:collapse;display:inline-table;margin:.3em 1.5em .3em 0;font-size:90%}
.nn2llm-verdict td{border:1px solid rgba(128,128,128,.5);padding:.1em .5em;text-align:right;\
font-family:monospace}
.nn2llm-verdict td.marked{outline:2px solid #c0504d;font-weight:bold}
.nn2llm-verdict caption{text-align:left;font-size:90%}.nn2llm-verdict dl{display:grid;\
grid-template-columns:max-content auto;gap:.1em 1em;margin:.3em 0}
.nn2llm-verdict dd{margin:0;font-family:monospace;white-space:pre-wrap}"""


def format_verdict(verdict: Mapping[str, Any], title: str, path: str, notes: Iterable[str] = ()) -> str:
    """Plain text."""
    status = str(verdict.get("status"))
    lines = [f"{_HEADS.get(status, status)}: {title}", str(verdict.get("message", ""))]
    for check in verdict.get("checks", ()):
        lines.append(f"  {check['status']}: {check.get('title') or check['name']}")
        evidence = check.get("evidence") or {}
        if check["status"] == "failed" and status == "failed":
            lines += [f"    {key}: {evidence[key]}" for key in _CALL if evidence.get(key)]
            lines += [f"    {line}" for line in _take_lines(evidence, verdict)]
            lines += [f"    What it is: {check['diagnosis']}"] if check.get("diagnosis") else []
    if error := verdict.get("error"):
        lines.append(f"  {error['name']}: {error['message']}")
    if verdict.get("printed"):
        lines += ["  Your code printed:", *(f"  | {line}" for line in _take_printed(verdict))]
    lines += [text for text in (verdict.get("part"), *notes) if text]
    return "\n".join([*lines, path])


_CALL = ("called", "returned", "expected")


def _take_printed(verdict: Mapping[str, Any]) -> list[str]:
    lines = str(verdict["printed"]).rstrip("\n").splitlines()
    return lines[:_PRINTED_LINES] + (["…"] if len(lines) > _PRINTED_LINES or verdict.get("cut") else [])


def render_verdict(verdict: Mapping[str, Any], title: str, path: str, notes: Iterable[str] = ()) -> str:
    """HTML without scripts and without anything loaded from elsewhere."""
    status = str(verdict.get("status"))
    head = f"<strong>{_HEADS.get(status, html.escape(status))}</strong>: {html.escape(title)}"
    parts = [f"<p>{head}</p>", f"<p>{_code(str(verdict.get('message', '')))}</p>"]
    if error := verdict.get("error"):
        parts.append(_render_error(error))
    checks = list(verdict.get("checks", ()))
    if checks:
        parts.append("<ul>")
        parts += [_render_check(check, verdict) for check in checks]
        parts.append("</ul>")
    if verdict.get("printed"):
        printed = html.escape("\n".join(_take_printed(verdict)))
        parts.append(f"<details><summary>Your code printed</summary><pre>{printed}</pre></details>")
    told = [check["diagnosis"] for check in checks if check.get("diagnosis")]
    if told:
        said = "".join(f"<p>{_code(text)}</p>" for text in told)
        parts.append(f"<details><summary>What went wrong?</summary>{said}</details>")
    parts += [f"<p>{_code(text)}</p>" for text in (verdict.get("part"), *notes) if text]
    parts.append(f"<p><small>{html.escape(path)}</small></p>")
    return f'<style>{_STYLE}</style><div class="nn2llm-verdict {html.escape(status)}">{"".join(parts)}</div>'


def _code(text: str) -> str:
    """`code` in Markdown; the rest is text."""
    pieces = html.escape(text).split("`")
    if len(pieces) % 2 == 0:
        return html.escape(text)
    return "".join(f"<code>{piece}</code>" if at % 2 else piece for at, piece in enumerate(pieces))


def _take_lines(evidence: Mapping[str, Any], verdict: Mapping[str, Any]) -> list[str]:
    """Its sentences, without the one that the verdict's own has already."""
    said = str(verdict.get("message", "")).lower()
    return [str(line) for line in evidence.get("lines") or () if str(line).lower() not in said]


def _render_check(check: Mapping[str, Any], verdict: Mapping[str, Any]) -> str:
    text = (
        f"<li><strong>{html.escape(check['status'])}</strong>: {_code(check.get('title') or check['name'])}"
    )
    evidence = check.get("evidence")
    if check["status"] != "failed" or verdict.get("status") != "failed" or not evidence:
        return text + "</li>"
    rows = [f"<dt>{key}</dt><dd>{html.escape(str(evidence[key]))}</dd>" for key in _CALL if evidence.get(key)]
    text += f"<dl>{''.join(rows)}</dl>"
    text += "".join(f"<div>{_code(line)}</div>" for line in _take_lines(evidence, verdict))
    text += f"<div>{html.escape(evidence['difference'])}</div>" if evidence.get("difference") else ""
    return text + "".join(_render_array(array) for array in evidence.get("arrays") or ()) + "</li>"


def _render_array(array: Mapping[str, Any]) -> str:
    marked = {tuple(place) for place in array.get("marked") or ()}
    rows = []
    for i, row in enumerate(array.get("values") or ()):
        cells = (
            f'<td class="marked">{html.escape(str(value))} *</td>'
            if (i, j) in marked
            else f"<td>{html.escape(str(value))}</td>"
            for j, value in enumerate(row)
        )
        rows.append(f"<tr>{''.join(cells)}</tr>")
    shape = ", ".join(str(size) for size in array.get("shape") or ())
    caption = html.escape(f"{array.get('label', '')}: {array.get('dtype', '')} ({shape})")
    return f"<table><caption>{caption}</caption>{''.join(rows)}</table>"


def _render_error(error: Mapping[str, Any]) -> str:
    lines = []
    for frame in error.get("frames") or ():
        for number, code, here in frame.get("code") or ():
            lines.append(f"{'>' if here else ' '} {number:>3}  {code}")
    lines.append(f"{error.get('name')}: {error.get('message')}")
    return f"<pre>{html.escape(chr(10).join(lines))}</pre>"
