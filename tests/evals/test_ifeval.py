"""IFEval's checks: for each instruction, replies that follow it and replies that nearly do."""

import json
from pathlib import Path
from typing import Any

import pytest

from nn2llm.core.errors import DataError
from nn2llm.evals.ifeval import (
    IFEvalItem,
    check_reply,
    evaluate_ifeval,
    list_loose_variants,
    load_ifeval,
)
from nn2llm.evals.ifeval_checks import CHECKS, UNCHECKED, check_instruction, count_sentences, count_words

CASES: list[tuple[str, dict[str, Any], list[str], list[str]]] = [
    (
        "keywords:existence",
        {"keywords": ["mom", "tea"]},
        ["My Mom drinks Tea.", "moments, steam"],
        ["My mom drinks milk.", "tea alone"],
    ),
    (
        "keywords:frequency",
        {"keyword": "war", "frequency": 2, "relation": "at least"},
        ["War and war.", "war, wars and war"],
        ["War and peace."],
    ),
    (
        "keywords:frequency",
        {"keyword": "war", "frequency": 2, "relation": "less than"},
        ["War and peace.", "Peace."],
        ["war war"],
    ),
    (
        "keywords:forbidden_words",
        {"forbidden_words": ["rock", "a.b"]},
        ["A rocket.", "aXb"],
        ["They ROCK!", "say a.b now"],
    ),
    (
        "keywords:letter_frequency",
        {"letter": "T", "let_frequency": 3, "let_relation": "at least"},
        ["Tattoo", "t t t"],
        ["two tea"],
    ),
    (
        "keywords:letter_frequency",
        {"letter": "!", "let_frequency": 2, "let_relation": "less than"},
        ["Yes!", "No"],
        ["Yes!!"],
    ),
    (
        "length_constraints:number_words",
        {"num_words": 4, "relation": "at least"},
        ["one two three four", "I don't know"],
        ["one two three"],
    ),
    (
        "length_constraints:number_words",
        {"num_words": 3, "relation": "less than"},
        ["one two"],
        ["one two three"],
    ),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 2, "relation": "at least"},
        ["One. Two.", "Is it? It is", 'He said "Go!" We went.'],
        ["Dr. Smith met J. Doe.", "Only one"],
    ),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 2, "relation": "less than"},
        ["It costs 3.50 dollars, e.g. here."],
        ["One. Two."],
    ),
    (
        "length_constraints:number_paragraphs",
        {"num_paragraphs": 2},
        ["One.\n***\nTwo.", "***\nOne.\n***\nTwo.\n***"],
        ["One.\n\nTwo.", "One.\n***\n***\nTwo.", "1***2***3"],
    ),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "summary"},
        ["One.\n\nSummary: two.", 'One.\n\n"Summary" it is'],
        ["One.\n\nThe summary.", "Summary.\n\nTwo.", "Summary.", "1\n\nSummary\n\n3"],
    ),
    (
        "detectable_content:number_placeholders",
        {"num_placeholders": 2},
        ["[name] lives in [city]."],
        ["[name] lives here.", "(name) [city"],
    ),
    (
        "detectable_content:postscript",
        {"postscript_marker": "P.S."},
        ["Bye.\nP.S. Write!", "Bye.\np. s. x"],
        ["Bye.", "Oops.", "The PS at the end"],
    ),
    (
        "detectable_content:postscript",
        {"postscript_marker": "P.P.S"},
        ["Bye.\nP.P.S Again", "P.P.S. so"],
        ["P.S. once"],
    ),
    (
        "detectable_format:number_bullet_lists",
        {"num_bullets": 2},
        ["* one\n* two", "Here:\n- one\n  * two"],
        ["* one", "* one\n* two\n- three", "**bold**\n* one"],
    ),
    (
        "detectable_format:number_highlighted_sections",
        {"num_highlights": 2},
        ["*one* and *two*", "**one** and *two*"],
        ["**one**", "* * and *one*", "*one\ntwo*"],
    ),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "SECTION", "num_sections": 2},
        ["SECTION 1\nx\nSECTION 2\ny"],
        ["SECTION 1\nx", "Section 1 Section 2", "SECTION a SECTION b"],
    ),
    (
        "detectable_format:json_format",
        {},
        ['{"a": 1}', '```json\n{"a": [1]}\n```', "3"],
        ["{a: 1}", 'Here: {"a": 1}'],
    ),
    (
        "detectable_format:title",
        {},
        ["<<Joy>>\nText", "A <<b>>"],
        ["<Joy>\nText", "<< >> text", "<<one\ntwo>>"],
    ),
    (
        "detectable_format:constrained_response",
        {},
        ["My answer is yes.", "Well. My answer is maybe."],
        ["Yes.", "my answer is yes"],
    ),
    (
        "combination:two_responses",
        {},
        ["One\n******\nTwo", "******One******Two"],
        ["One", "One******One", "One******Two******Three", "One\n***\nTwo"],
    ),
    (
        "combination:repeat_prompt",
        {"prompt_to_repeat": "Say hello."},
        ["Say hello. Hello!", "  SAY HELLO.\nHi"],
        ["Sure: Say hello.", "Hello!"],
    ),
    (
        "startend:end_checker",
        {"end_phrase": "Is that all?"},
        ["So. Is that all?", 'So. "is that all?"\n'],
        ["Is that all? No.", "So."],
    ),
    ("startend:quotation", {}, ['"All of it."', ' "x" '], ['"Half of it.', 'So "it" is', '"']),
    ("change_case:english_capital", {}, ["ALL OF IT, 3."], ["ALL OF iT", "123"]),
    ("change_case:english_lowercase", {}, ["all of it, 3."], ["all of It", "123"]),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "at least"},
        ["NASA and IBM", "A B"],
        ["NASA and Ibm"],
    ),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 1, "capital_relation": "less than"},
        ["None here"],
        ["NASA"],
    ),
    ("punctuation:no_comma", {}, ["None here."], ["One, two"]),
]


@pytest.mark.parametrize(("name", "arguments", "follow", "fail"), CASES)
def test_each_instruction_in_both_directions(
    name: str, arguments: dict[str, Any], follow: list[str], fail: list[str]
) -> None:
    assert [reply for reply in follow if not check_instruction(name, reply, arguments)] == []
    assert [reply for reply in fail if check_instruction(name, reply, arguments)] == []
    assert not check_instruction(name, " \n", arguments)  # nothing follows nothing


def test_all_25_instructions_are_there_and_tried() -> None:
    assert len(CHECKS) + len(UNCHECKED) == 25
    assert {case[0] for case in CASES} == set(CHECKS)


def test_counting() -> None:
    assert count_words("I don't know: 3 of_them.") == 6
    assert count_sentences("Mr. A. Lee came at 5 p.m. today. He left!\n\nTitle without a stop\n\nEnd.") == 4
    assert count_sentences("1. First one.\n2. Second one.") == 2
    assert count_sentences("...") == 0


def test_loose_variants_forgive_a_first_line_a_last_line_and_asterisks() -> None:
    reply = "Sure, here:\n*mia cara*\nHope, it helps"
    variants = list_loose_variants(reply)
    assert variants[:4] == [reply, "*mia cara*\nHope, it helps", "Sure, here:\n*mia cara*", "*mia cara*"]
    assert variants[7] == "mia cara"
    item = IFEvalItem(1, "?", (("punctuation:no_comma", {}), ("change_case:english_lowercase", {})))
    assert check_reply(item, reply) == [False, False]
    assert check_reply(item, reply, loose=True) == [True, True]
    # one line: without it nothing is left, and nothing follows no instruction
    assert check_reply(item, "One, two", loose=True) == [False, False]


def test_shares_at_both_levels() -> None:
    items = [
        IFEvalItem(1, "a", (("punctuation:no_comma", {}), ("startend:quotation", {}))),
        IFEvalItem(2, "b", (("punctuation:no_comma", {}),)),
    ]
    report = evaluate_ifeval(items, ['"yes, so"', "no"])
    assert (report.num_prompts, report.num_instructions) == (2, 3)
    assert report.prompt_strict.estimate == pytest.approx(1 / 2)
    assert report.instruction_strict.estimate == pytest.approx(2 / 3)
    assert report.by_kind["punctuation:no_comma"].estimate == pytest.approx(1 / 2)
    assert report.by_kind["startend:quotation"].estimate == 1
    # Wilson, by hand, 1 of 2 at z = 1.96: centre 1/2, half width 0.4057
    assert report.prompt_strict.low == pytest.approx(0.0945, abs=1e-4)
    with pytest.raises(ValueError, match="at least one item"):
        evaluate_ifeval([], [])


LINE = {"key": 7, "prompt": "Say it.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines))
    return path


def test_a_file_is_read_and_what_cannot_be_checked_is_counted(tmp_path: Path) -> None:
    spoken = LINE | {"instruction_id_list": [UNCHECKED[0]], "kwargs": [{"language": "hi"}]}
    found = load_ifeval(write(tmp_path / "items.jsonl", LINE, spoken))
    assert found.items == (IFEvalItem(7, "Say it.", (("punctuation:no_comma", {}),)),)
    assert found.num_left_out == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2 is not JSON"),
        ({"prompt": "x", "kwargs": []}, r"'instruction_id_list' is missing \(there are: 'prompt'"),
        (LINE | {"prompt": 3}, "'prompt' must be a text, got 3"),
        (LINE | {"kwargs": []}, "lists of one length"),
        (LINE | {"instruction_id_list": ["a:b"]}, "instruction 'a:b' is unknown"),
        (LINE | {"kwargs": [3]}, "'kwargs' must hold objects"),
        (LINE | {"kwargs": [{"x": 1}]}, "cannot be checked with {'x': 1}"),
        (
            LINE | {"instruction_id_list": ["length_constraints:number_words"],
                    "kwargs": [{"num_words": 3, "relation": "about"}]},
            "the relation must be 'at least' or 'less than', got 'about'",
        ),
    ],
)  # fmt: skip
def test_a_broken_line_is_named_and_skipped_on_request(tmp_path: Path, line: object, message: str) -> None:
    path = write(tmp_path / "items.jsonl", LINE, line, LINE)
    with pytest.raises(DataError, match=message) as raised:
        load_ifeval(path)
    assert "line 2" in str(raised.value)
    complaints: list[str] = []
    assert len(load_ifeval(path, on_unusable=complaints.append).items) == 2
    assert ["line 2" in complaint for complaint in complaints] == [True]


def test_a_file_without_any_item_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no item whose instructions can be checked"):
        load_ifeval(write(tmp_path / "items.jsonl"))


def test_the_papers_own_file(shared_data: Path) -> None:
    found = load_ifeval(shared_data / "eval" / "ifeval-input-data.jsonl")
    assert (len(found.items), found.num_left_out) == (510, 31)
    everything = evaluate_ifeval(found.items, [item.prompt for item in found.items])
    # a model that repeats the prompt does hardly anything of what it is told
    assert everything.num_instructions == sum(len(item.instructions) for item in found.items)
    assert everything.prompt_strict.estimate < 0.3
