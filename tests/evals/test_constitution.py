"""Constitutions: the two that ship, and every way in which a file is none."""

import pytest

from nn2llm.core.errors import DataError
from nn2llm.evals.constitution import SHIPPED, load_constitution
from nn2llm.evals.world_judge import check_aspects


def test_those_that_ship_can_be_read():
    village = load_constitution("village")
    assert [one.name for one in village.principles] == ["no harm", "honesty", "no flattery", "willingness"]
    check_aspects(village)
    assert len(load_constitution("general").principles) == 5
    assert SHIPPED == ("village", "general")


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        "\ufeff# mine\n[[principle]]\nname = 'brief'\ntext = '''\nBe\n  brief.'''\naspect = 'brevity'\n"
        "critique_request = 'Is it long?'\nrevision_request = 'Shorten it.'\n",
        encoding="utf-8",
    )
    constitution = load_constitution(path)
    (principle,) = constitution.principles
    assert (principle.name, principle.text, principle.aspect) == ("brief", "Be brief.", "brevity")
    assert (principle.critique_request, principle.revision_request) == ("Is it long?", "Shorten it.")
    assert constitution.source == str(path)


ONE = '[[principle]]\nname = "a"\ntext = "b"\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no principle"),
        ("principle = []", "has no principle"),
        ("principle = 'be good'", "has no principle"),
        ("principle = ['be good']", "principle 1 must be a .* table"),
        (ONE + ONE, "principle 2: there is a principle 'a' before it"),
        ('[[principle]]\ntext = "b"', "principle 1: 'name' is missing"),
        ('[[principle]]\nname = "a"', "principle 1: 'text' is missing"),
        ('[[principle]]\nname = "a"\ntext = " "', "principle 1: 'text' must be a text that says something"),
        ('[[principle]]\nname = "a"\ntext = 3', "'text' must be a text that says something, got 3"),
        (ONE + 'aspekt = "harm"', "'aspekt' is unknown. Did you mean 'aspect'"),
        (ONE + '[rules]\nx = "y"', "'rules' is no part of a constitution"),
        ("[[principle]", "is not TOML"),
        (b"name = '\xff'", "is not UTF-8"),
    ],
)
def test_what_is_no_constitution(tmp_path, content, message):
    path = tmp_path / "mine.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message) as error:
        load_constitution(path)
    assert str(path) in str(error.value)


def test_one_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"There is no constitution 'vilage'.*village, general"):
        load_constitution("vilage")
    with pytest.raises(DataError, match="cannot be read"):
        load_constitution(tmp_path)
