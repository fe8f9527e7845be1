"""`nn2llm eval RUN --ifeval FILE`: does a chat model do what it is told? Used by eval.py."""

import json
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nn2llm.core.device import choose_device
from nn2llm.core.files import write_json_atomic
from nn2llm.core.run_folder import RunFolder
from nn2llm.evals.ifeval import IFEvalReport, check_reply, evaluate_ifeval, load_ifeval
from nn2llm.evals.intervals import Interval
from nn2llm.recipe.given_evaluation import write_item_replies
from nn2llm.recipe.given_words import name_instruction
from nn2llm.recipe.replying import load_writer
from nn2llm.train.checkpoint import find_best_checkpoint

__all__ = ["evaluate_instructions"]

_FORMAT = "nn2llm ifeval 1"


def evaluate_instructions(
    run: RunFolder,
    file: str,
    *,
    max_new_tokens: int,
    batch_size: int,
    skip_unusable: bool,
    device: str,
    name: str | None,
    as_json: bool,
) -> int:
    """Let the run reply to IFEval's prompts, print the shares, and keep them with all replies; returns 0.

    Raises:
        Nn2llmError: for a file, run or device that does not work.
    """
    left_out: list[str] = []
    found = load_ifeval(file, on_unusable=left_out.append if skip_unusable else None)
    writer = load_writer(run.path, choose_device(device))
    messages = Console(stderr=True, highlight=False)
    if left_out:
        text = f"{len(left_out):,} lines of {file} are left out; the first: {left_out[0]}"
        messages.print(text, markup=False, soft_wrap=True)
    with messages.status(escape(f"{run.path.name} replies to {len(found.items)} prompts")):
        replies = write_item_replies(
            writer,
            [item.prompt for item in found.items],
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
        )
    report = evaluate_ifeval(found.items, replies)
    step = int(find_best_checkpoint(run).name.removeprefix("step_"))
    record = {
        "format": _FORMAT,
        "run": run.path.name,
        "step": step,
        "file": file,
        "max_new_tokens": max_new_tokens,
        "num_left_out": found.num_left_out,
        "num_unusable": len(left_out),
        "ifeval": asdict(report),
        "replies": [
            {"key": item.key, "prompt": item.prompt, "reply": reply, "followed": check_reply(item, reply)}
            for item, reply in zip(found.items, replies, strict=True)
        ],
    }
    path = run.path / "evals" / f"{name or f'ifeval-step-{step}'}.json"
    write_json_atomic(path, record)
    if as_json:
        print(json.dumps(record, indent=2, ensure_ascii=False))
        return 0
    console = Console(highlight=False)
    console.print(_build_table(report))
    if found.num_left_out:
        console.print(
            f"{found.num_left_out} items that ask for a language are left out: to detect it would need "
            "another library.",
            soft_wrap=True,
        )
    console.print(f"Written to {path}.", markup=False, soft_wrap=True)
    return 0


def _build_table(report: IFEvalReport) -> Table:
    table = Table()
    for title in ("IFEval", "strict", "95% interval", "loose", "95% interval", "of"):
        table.add_column(title, justify="left" if title == "IFEval" else "right")
    rows = (
        ("all instructions of a prompt", report.prompt_strict, report.prompt_loose, report.num_prompts),
        ("single instructions", report.instruction_strict, report.instruction_loose, report.num_instructions),
    )
    for title, strict, loose, count in rows:
        table.add_row(title, *_show(strict), *_show(loose), f"{count:,}")
    table.add_section()
    for kind, share in report.by_kind.items():
        table.add_row(name_instruction(kind), *_show(share), "", "", f"{report.counts[kind]:,}")
    return table


def _show(share: Interval) -> tuple[str, str]:
    return f"{share.estimate:.1%}", f"{share.low:.1%} to {share.high:.1%}"
