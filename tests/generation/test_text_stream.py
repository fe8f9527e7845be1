"""Text from tokens: no half characters, no beginnings of stop strings, whatever the token borders."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn2llm.core.errors import ConfigError
from nn2llm.generation.text_stream import TextStream


class Pieces:
    """A tokenizer whose token i stands for the i-th of the given byte strings."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces

    def token_bytes(self, token_id: int) -> bytes:
        return self.pieces[token_id]


def run(pieces: list[bytes], stops: tuple[str, ...] = ()) -> tuple[list[str], TextStream]:
    """What each piece gives, with the end as the last."""
    stream = TextStream(Pieces(*pieces), stops)
    return [stream.push(token) for token in range(len(pieces))] + [stream.finish()], stream


def test_a_character_comes_whole_when_its_last_byte_has_come():
    euro = "€".encode()
    assert run([b"a", euro[:1], euro[1:2], euro[2:] + b"b"])[0] == ["a", "", "", "€b", ""]


def test_bytes_that_are_not_utf8_become_the_replacement_character():
    assert run([b"a\xff", b"b", "€".encode()[:2]])[0] == ["a�", "b", "", "�"]


def test_stop_string_across_tokens_is_cut_off_and_never_shown():
    given_out, stream = run([b"one\nEN", b"D", b" two"], ("\nEND",))
    assert given_out == ["one", "", "", ""]
    assert stream.stopped
    assert stream.text == "one"


def test_a_beginning_that_does_not_become_the_stop_string_comes_later():
    assert run([b"x\n", b"\n", b"y"], ("\n\nEND",))[0] == ["x", "", "\n\ny", ""]


def test_a_beginning_left_over_at_the_end_is_given_out():
    assert run([b"bye EN"], ("END",))[0] == ["bye ", "EN"]


def test_the_stop_string_complete_first_wins():
    # "b" is complete before "abc", so the "a" before it is text.
    assert run([b"xabc"], ("abc", "b"))[1].text == "xa"
    assert run([b"xabc"], ("bc", "abc"))[1].text == "x"


@settings(deadline=None, max_examples=200)
@given(
    text=st.text(alphabet="abé€😀", max_size=30),
    stops=st.lists(st.text(alphabet="abé€", min_size=1, max_size=4), max_size=3),
    cuts=st.lists(st.integers(0, 80), max_size=20),
)
def test_text_does_not_depend_on_token_borders(text, stops, cuts):
    data = text.encode()
    borders = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[start:end] for start, end in itertools.pairwise(borders)]
    given_out, stream = run(pieces, tuple(stops))
    # By brute force: the shortest beginning of the text that ends in a stop string.
    expected = text
    for end in range(len(text) + 1):
        ending = [stop for stop in stops if text[:end].endswith(stop)]
        if ending:
            expected = text[: end - max(map(len, ending))]
            break
    assert "".join(given_out) == stream.text == expected


@settings(deadline=None, max_examples=100)
@given(data=st.binary(max_size=20))
def test_any_bytes_give_what_python_decodes(data):
    assert run([bytes([byte]) for byte in data])[1].text == data.decode("utf-8", errors="replace")


def test_an_empty_stop_string_is_refused():
    with pytest.raises(ConfigError, match="at least one character"):
        TextStream(Pieces(), ("",))
