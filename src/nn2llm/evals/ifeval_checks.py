"""IFEval's instructions: each is a rule that a program can check on the reply alone.

`CHECKS` maps the 25 names of the paper (table 1) to functions of a reply and the instruction's own arguments,
which return whether the reply follows it. They are written from the paper's descriptions and from how its
prompts word them. Where ours differs from the authors' program: sentences and words are found by rules
here, not by nltk; and "all capitals" or "all lower case" does not also ask whether the language is English.
`language:response_language` would need a language detector, so it has no check (`UNCHECKED`).
Read before ifeval.py, which uses them.
Source: Zhou et al. 2023, https://arxiv.org/abs/2311.07911.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from nn2llm.core.errors import DataError

__all__ = ["CHECKS", "UNCHECKED", "check_instruction", "count_sentences", "count_words"]

UNCHECKED = ("language:response_language",)
"""Instructions of the paper that are not checked here."""

_ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_ABBREVIATIONS = frozenset(
    [
        "mr",
        "mrs",
        "ms",
        "dr",
        "prof",
        "st",
        "jr",
        "sr",
        "vs",
        "etc",
        "e.g",
        "i.e",
        "inc",
        "ltd",
        "co",
        "no",
        "fig",
        "al",
        "u.s",
        "u.k",
        "a.m",
        "p.m",
        "mt",
        "gen",
        "sen",
        "rep",
    ]
)


def check_instruction(name: str, reply: str, arguments: dict[str, Any]) -> bool:
    """Whether a reply follows one instruction. An empty reply follows none.

    Raises:
        DataError: if there is no such instruction, or its arguments are not what it needs.
    """
    if name not in CHECKS:
        raise DataError(f"There is no check for the instruction {name!r}. Leave the item out.")
    given = {key: value for key, value in arguments.items() if value is not None}
    try:
        return bool(reply.strip()) and CHECKS[name](reply, **given)
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"The instruction {name!r} cannot be checked with {given!r} ({error}).") from error


def count_words(text: str) -> int:
    """Runs of letters, digits and underscores: "don't" is two, as in the paper."""
    return len(re.findall(r"\w+", text))


def count_sentences(text: str) -> int:
    """Stretches up to . ! ? or a blank line; abbreviations, initials and "1." do not end one."""
    count = 0
    for block in re.split(r"\n\s*\n", text):
        words_since = False
        for match in re.finditer(r"\S+", block):
            word = match[0].rstrip("\"'”’)]}*_")
            words_since = words_since or bool(re.search(r"\w", word))
            if words_since and re.search(r"[.!?…]$", word) and not _is_abbreviation(word):
                count += 1
                words_since = False
        count += words_since
    return count


def _is_abbreviation(word: str) -> bool:
    """ "Dr." and "e.g.", "J." as in J. Smith, and "1." of a numbered list."""
    if not word.endswith("."):
        return False
    stem = word[:-1].lstrip("\"'“‘([{*_")
    return stem.lower() in _ABBREVIATIONS or bool(re.fullmatch(r"[A-HJ-Z]|\d+", stem))


def _compare(count: int, relation: str, number: int) -> bool:
    if relation == "at least":
        return count >= number
    if relation == "less than":
        return count < number
    raise ValueError(f"the relation must be 'at least' or 'less than', got {relation!r}")


# --- keywords -----------------------------------------------------------------------------------------------


def _has_keywords(reply: str, *, keywords: list[str]) -> bool:
    return all(word.lower() in reply.lower() for word in keywords)


def _repeats_keyword(reply: str, *, keyword: str, frequency: int, relation: str) -> bool:
    return _compare(reply.lower().count(keyword.strip().lower()), relation, frequency)


def _avoids_words(reply: str, *, forbidden_words: list[str]) -> bool:
    return not any(re.search(rf"\b{re.escape(word)}\b", reply, re.IGNORECASE) for word in forbidden_words)


def _repeats_letter(reply: str, *, letter: str, let_frequency: int, let_relation: str) -> bool:
    return _compare(reply.lower().count(letter.lower()), let_relation, let_frequency)


# --- length -------------------------------------------------------------------------------------------------


def _has_words(reply: str, *, num_words: int, relation: str) -> bool:
    return _compare(count_words(reply), relation, num_words)


def _has_sentences(reply: str, *, num_sentences: int, relation: str) -> bool:
    return _compare(count_sentences(reply), relation, num_sentences)


def _split_parts(reply: str, mark: str) -> list[str] | None:
    """What stands between the marks; a mark at either end is no fault, two in a row are (None)."""
    parts = [part.strip() for part in reply.split(mark)]
    if len(parts) > 1 and not parts[0]:
        parts = parts[1:]
    if len(parts) > 1 and not parts[-1]:
        parts = parts[:-1]
    return parts if all(parts) else None


def _has_paragraphs(reply: str, *, num_paragraphs: int) -> bool:
    """Paragraphs are separated by ***, as the prompts ask."""
    parts = _split_parts(reply, "***")
    return parts is not None and len(parts) == num_paragraphs


def _begins_paragraph(reply: str, *, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    """Here paragraphs are separated by two line breaks."""
    paragraphs = [part.strip() for part in reply.split("\n\n") if part.strip()]
    if len(paragraphs) != num_paragraphs or not 1 <= nth_paragraph <= num_paragraphs:
        return False
    word = paragraphs[nth_paragraph - 1].split()[0].lstrip("\"'“‘*_")
    return re.split(r"[.,?!;:'\"”’*_]", word)[0].lower() == first_word.lower()


# --- content and format -------------------------------------------------------------------------------------


def _has_placeholders(reply: str, *, num_placeholders: int) -> bool:
    return len(re.findall(r"\[[^\[\]]*\]", reply)) >= num_placeholders


def _has_postscript(reply: str, *, postscript_marker: str) -> bool:
    """The marker in either case, with or without spaces after its dots."""
    letters = [re.escape(letter) for letter in re.findall(r"\w", postscript_marker)]
    dotted = r"\.\s?".join(letters) + (r"\." if postscript_marker.strip().endswith(".") else "")
    return re.search(rf"(?<!\w){dotted}", reply, re.IGNORECASE) is not None


def _has_bullets(reply: str, *, num_bullets: int) -> bool:
    """Lines of Markdown that begin with * or -: exactly so many. "**" begins bold text, not a bullet."""
    stars = re.findall(r"^\s*\*[^*\n].*$", reply, re.MULTILINE)
    dashes = re.findall(r"^\s*-.*$", reply, re.MULTILINE)
    return len(stars) + len(dashes) == num_bullets


def _has_highlights(reply: str, *, num_highlights: int) -> bool:
    """*so* or **so**, on one line; each counts once."""
    bold = [inner for inner in re.findall(r"\*\*([^\n*]*)\*\*", reply) if inner.strip()]
    rest = re.sub(r"\*\*[^\n*]*\*\*", " ", reply)
    plain = [inner for inner in re.findall(r"\*([^\n*]*)\*", rest) if inner.strip()]
    return len(bold) + len(plain) >= num_highlights


def _has_sections(reply: str, *, section_spliter: str, num_sections: int) -> bool:
    """ "SECTION 1", "SECTION 2": the word and a number begin a section. (The key is spelt so in the data.)"""
    return len(re.findall(rf"{re.escape(section_spliter.strip())}\s?\d+", reply)) >= num_sections


def _is_json(reply: str) -> bool:
    """All of it, a Markdown fence around it apart."""
    text = re.sub(r"^```(?:json)?\s*|\s*```$", "", reply.strip(), flags=re.IGNORECASE)
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _has_title(reply: str) -> bool:
    return any(title.strip() for title in re.findall(r"<<([^\n<>]+)>>", reply))


def _has_constrained_answer(reply: str) -> bool:
    return any(answer in reply for answer in _ANSWERS)


# --- combinations, start and end, case, punctuation ---------------------------------------------------------


def _has_two_responses(reply: str) -> bool:
    """Two different ones, separated by six asterisks."""
    parts = _split_parts(reply, "******")
    return parts is not None and len(parts) == 2 and parts[0] != parts[1]


def _repeats_prompt(reply: str, *, prompt_to_repeat: str) -> bool:
    return reply.strip().lower().startswith(prompt_to_repeat.strip().lower())


def _ends_with(reply: str, *, end_phrase: str) -> bool:
    return reply.strip().strip('"').lower().endswith(end_phrase.strip().strip('"').lower())


def _is_quoted(reply: str) -> bool:
    text = reply.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


def _has_capital_words(reply: str, *, capital_frequency: int, capital_relation: str) -> bool:
    words = re.findall(r"[^\W_](?:[\w'’-]*[^\W_])?", reply)
    return _compare(sum(word.isupper() for word in words), capital_relation, capital_frequency)


CHECKS: dict[str, Callable[..., bool]] = {
    "keywords:existence": _has_keywords,
    "keywords:frequency": _repeats_keyword,
    "keywords:forbidden_words": _avoids_words,
    "keywords:letter_frequency": _repeats_letter,
    "length_constraints:number_words": _has_words,
    "length_constraints:number_sentences": _has_sentences,
    "length_constraints:number_paragraphs": _has_paragraphs,
    "length_constraints:nth_paragraph_first_word": _begins_paragraph,
    "detectable_content:number_placeholders": _has_placeholders,
    "detectable_content:postscript": _has_postscript,
    "detectable_format:number_bullet_lists": _has_bullets,
    "detectable_format:number_highlighted_sections": _has_highlights,
    "detectable_format:multiple_sections": _has_sections,
    "detectable_format:json_format": _is_json,
    "detectable_format:title": _has_title,
    "detectable_format:constrained_response": _has_constrained_answer,
    "combination:two_responses": _has_two_responses,
    "combination:repeat_prompt": _repeats_prompt,
    "startend:end_checker": _ends_with,
    "startend:quotation": _is_quoted,
    "change_case:english_capital": str.isupper,
    "change_case:english_lowercase": str.islower,
    "change_case:capital_word_frequency": _has_capital_words,
    "punctuation:no_comma": lambda reply: "," not in reply,
}
"""Name → whether a reply follows it, given the instruction's arguments."""
