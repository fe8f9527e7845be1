"""The page /mygpt: whose part is whose, the command, the last run; no part at all, damaged runs."""

import json
import os
from pathlib import Path

import pytest

from nn2llm.app.state import Site
from nn2llm.course.mygpt import adopt_part
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.models.parts import PARTS, RunShape, suggest_flags
from tests.app.conftest import Ask

GELU = "import torch\n\n\ndef gelu(x):\n    return torch.nn.functional.gelu(x)\n"


def fold(text: str) -> str:
    return " ".join(text.split())


def write_run(root: Path, name: str, mine: dict, losses: list[float], *, at: float) -> None:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"steps": 20, **({"mine": mine} if mine else {})}))
    records = [
        {"step": 10 * (number + 1), "val_loss": loss, "val_bits_per_byte": loss / 2}
        for number, loss in enumerate(losses)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    os.utime(folder / "metrics.jsonl", (at, at))


def test_without_any_part_it_says_where_they_come_from(ask: Ask) -> None:
    page = fold(ask("GET", "/mygpt").text)
    assert f"none of the {len(PARTS)} parts is yours yet" in page
    assert "As soon as one part is yours: <code>nn2llm pretrain --mine</code>" in page
    assert page.count("Library’s</span>") == len(PARTS) + 1  # and the tokenizer
    assert "is-mine" not in page


def test_a_part_is_shown_with_its_exercise_and_the_command_calls_it(ask: Ask, site: Site) -> None:
    adopt_part(site.home, "gelu", GELU, slug="first-lesson", exercise="write-gelu")
    page = fold(ask("GET", "/mygpt").text)
    assert f"<strong>1 of {len(PARTS)} parts are yours</strong>" in page
    assert page.count("is-mine") == 1
    assert 'href="/lesson/first-lesson#exercise-write-gelu">0.1 The first &lt;lesson&gt;</a>' in page
    assert "<code>nn2llm pretrain --mine --model.feed-forward gelu</code>" in page
    assert "changed by hand" not in page
    path = site.home / "mygpt/gelu.py"
    path.write_text(path.read_text() + "# <b>\n")
    assert "changed by hand since" in ask("GET", "/mygpt").text


def test_parts_of_lessons_that_the_course_does_not_have(ask: Ask) -> None:
    assert "the lesson attention-code gives it" in fold(ask("GET", "/mygpt").text)


def test_a_part_for_writing_alone_trains_nothing(ask: Ask, site: Site) -> None:
    text = "def next_token_probabilities(logits, temperature, top_k): ..."
    adopt_part(site.home, "sampling", text, slug="a", exercise="b")
    page = fold(ask("GET", "/mygpt").text)
    assert "As soon as one part is yours" in page


def test_the_newest_run_with_own_parts_is_named(ask: Ask, site: Site) -> None:
    root = site.training.root
    write_run(root, "older", {"gelu": "1"}, [5.0], at=1000)
    write_run(root, "newer", {"gelu": "1", "rope": "2"}, [3.0, 2.5, 2.75], at=2000)
    write_run(root, "plain", {}, [1.0], at=3000)
    page = fold(ask("GET", "/mygpt").text)
    assert (
        "Last run with your own gelu, rope: <code>newer</code>, best held-out loss <strong>2.500</strong>"
        in page
    )
    assert "(1.250 bits a byte) after 20 steps." in page


def test_a_run_that_was_not_evaluated_yet_and_damaged_ones(ask: Ask, site: Site) -> None:
    root = site.training.root
    write_run(root, "begun", {"gelu": "1"}, [], at=1000)
    write_run(root, "torn", {"gelu": "1"}, [1.0], at=2000)
    (root / "torn/config.json").write_text("{")
    assert "0 steps so far, not evaluated yet" in fold(ask("GET", "/mygpt").text)
    write_run(root, "noise", {"gelu": "1"}, [1.0], at=3000)
    (root / "noise/metrics.jsonl").write_text("x\ny\nz\n")
    assert ask("GET", "/mygpt").status_code == 200


@pytest.mark.parametrize(
    ("names", "flags"),
    [
        ({"attention", "rms_norm"}, []),
        ({"layer_norm"}, ["--model.norm layernorm"]),
        ({"layer_norm", "rms_norm"}, []),
        ({"gelu", "feed_forward"}, ["--model.feed-forward gelu"]),
        ({"cosine_schedule", "gradient_clipping"}, ["--max-grad-norm 1", "--schedule.kind cosine"]),
    ],
)
def test_flags_that_call_the_parts(names: set[str], flags: list[str]) -> None:
    assert suggest_flags(names) == flags


def test_parts_that_the_default_shape_calls_need_no_flags() -> None:
    shape = RunShape(model=GPTConfig(), schedule="cooldown", clips=False)
    for name, part in PARTS.items():
        needs_flags = bool(suggest_flags({name}))
        assert part.used(shape) != needs_flags or part.stage == "writing"
