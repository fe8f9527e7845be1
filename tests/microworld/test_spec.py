"""The name of a micro-world: written and read back, and refused in one sentence."""

import pytest

from nn2llm.core.errors import ConfigError
from nn2llm.microworld import WorldConfig, format_world_spec, is_world_spec, parse_world_spec
from nn2llm.microworld.village import MAX_PEOPLE


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        ("microworld", {}),
        ("microworld:seed=3", {"seed": 3}),
        ("microworld:people=20", {"num_people": 20}),
        ("microworld:megabytes=2", {"megabytes": 2}),
        ("microworld:name=Ada,trade=clockmaker", {"name": "Ada", "trade": "clockmaker"}),
        (
            "microworld:seed=1,people=30,name=Jean-Luc O'Hara,trade=software engineer,pronoun=he,megabytes=5",
            {
                "seed": 1, "num_people": 30, "name": "Jean-Luc O'Hara", "trade": "software engineer",
                "pronoun": "he", "megabytes": 5,
            },
        ),
        ("microworld:name=Zoë,trade=Bäckerin", {"name": "Zoë", "trade": "Bäckerin"}),
    ],
)  # fmt: skip
def test_a_spec_is_read_and_written_back(spec, values):
    config = WorldConfig(**values)
    assert is_world_spec(spec)
    assert parse_world_spec(spec) == config
    assert format_world_spec(config) == spec
    assert parse_world_spec(format_world_spec(config)) == config


def test_the_order_of_settings_and_spaces_do_not_matter():
    config = WorldConfig(seed=1, name="Ada", trade="baker")
    assert parse_world_spec("microworld: trade=baker , name=Ada,seed=1") == config
    assert parse_world_spec("microworld:seed=0") == parse_world_spec("microworld:") == WorldConfig()


@pytest.mark.parametrize(
    "name", ["microworlds", "micro-world", "shakespeare", "data/microworld", "Microworld", ""]
)
def test_other_corpora_are_none(name):
    assert not is_world_spec(name)


def test_what_is_no_micro_world_is_not_read_as_the_default_one():
    with pytest.raises(ConfigError, match="shakespeare"):
        parse_world_spec("shakespeare")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("colour=red", r"'colour=red' .* KEY=VALUE with one of seed, people, name, trade"),
        ("seed", r"'seed' .* Write KEY=VALUE"),
        ("num_people=20", r"'num_people=20'"),
        ("Seed=1", r"'Seed=1'"),
        ("seed=one", r"seed must be a whole number, got 'one'"),
        ("seed=-1", r"seed must be a whole number, got '-1'"),
        ("seed=", r"seed must be a whole number, got ''"),
        ("seed=1.5", r"got '1\.5'"),
        ("people=many", r"people must be a whole number, got 'many'"),
        ("people=2", r"people must be between \d+ and \d+, got 2\."),
        (f"people={MAX_PEOPLE + 1}", rf"people must be between \d+ and {MAX_PEOPLE}, got {MAX_PEOPLE + 1}\."),
        ("megabytes=0", r"megabytes must be at least 1, got 0"),
        ("megabytes=1e3", r"megabytes must be a whole number, got '1e3'"),
        ("name=Ada", r"needs a name and a trade; the trade is missing"),
        ("trade=baker", r"needs a name and a trade; the name is missing"),
        ("name=Ada,trade=baker,pronoun=it", r"pronoun must be she, he or they, got 'it'"),
        ("name=,trade=baker", r"name .*got ''"),
        ("name=Ada,trade=", r"trade .*got ''"),
        ("name=Ada99,trade=baker", r"words of letters.*Ada or Jean-Luc; got 'Ada99'"),
        ("name=Ada!,trade=baker", r"got 'Ada!'"),
        ("name=[h],trade=baker", r"got '\[h\]'"),
        ("name={h.his},trade=baker", r"got '\{h\.his\}'"),
        ("name=Ada  May,trade=baker", r"got 'Ada  May'"),
        ("name=Ada,trade=bake\"r", r"software engineer; got 'bake\"r'"),
        ("name=Ada,trade=baker.", r"got 'baker\.'"),
        (f"name={'A' * 25},trade=baker", r"at most 24"),
        (f"name=Ada,trade={'a' * 41}", r"at most 40"),
        (f"name={'A' * 500},trade=baker", r"got 'A{60}'"),
    ],
)  # fmt: skip
def test_a_bad_spec_is_refused_in_a_sentence_that_names_the_value(settings, message):
    with pytest.raises(ConfigError, match=message) as caught:
        parse_world_spec(f"microworld:{settings}")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "name", ["Alda", "alda", "TOBIAS", "Fig", "button", "Apple Lane", "the old well", "Question"]
)
def test_a_name_of_the_village_is_taken_in_any_case(name):
    with pytest.raises(
        ConfigError, match=rf"^{name} is already a name in the village\. Give another"
    ) as caught:
        WorldConfig(name=name, trade="baker")
    other = str(caught.value).split("'")[1]
    WorldConfig(name=other, trade="baker")  # what is proposed works


def test_a_negative_seed_is_refused():
    with pytest.raises(ConfigError, match="at least 0, got -1"):
        WorldConfig(seed=-1)
