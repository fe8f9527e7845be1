"""Configs to JSON and back, and what is said of a file that does not fit."""

import dataclasses
import json
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn2llm.core.config_io import (
    config_differences,
    config_from_dict,
    config_to_dict,
    load_config,
    save_config,
)
from nn2llm.core.errors import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    width: int = 4
    kind: Literal["a", "b"] = "a"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outer:
    steps: int = 10
    rate: float = 0.1
    name: str = "x"
    fast: bool = False
    limit: int | None = None
    factor: float | None = None
    sizes: tuple[int, ...] = ()
    inner: Inner = dataclasses.field(default_factory=Inner)

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"steps must be at least 1, got {self.steps}.")


outers = st.builds(
    Outer,
    steps=st.integers(1, 10**9),
    rate=st.floats(allow_nan=False, allow_infinity=False) | st.integers(-1000, 1000),
    name=st.text(),
    fast=st.booleans(),
    limit=st.none() | st.integers(),
    factor=st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-1000, 1000),
    sizes=st.lists(st.integers()).map(tuple),
    inner=st.builds(Inner, width=st.integers(), kind=st.sampled_from(["a", "b"])),
)


@given(outers)
@settings(deadline=None)
def test_a_config_comes_back_from_json(config):
    stored = json.dumps(config_to_dict(config))
    again = config_from_dict(Outer, json.loads(stored), where="x")
    assert again == config
    assert json.dumps(config_to_dict(again)) == stored  # epochs=3 and epochs=3.0 are the same


def test_a_config_comes_back_from_a_file(tmp_path):
    config = Outer(rate=3, inner=Inner(kind="b"))
    save_config(config, tmp_path / "config.json")
    assert load_config(Outer, tmp_path / "config.json") == config


def test_what_is_absent_gets_its_default():
    assert config_from_dict(Outer, {"inner": {"width": 9}}, where="x") == Outer(inner=Inner(width=9))


def test_a_whole_number_will_do_for_a_float():
    rate = config_from_dict(Outer, {"rate": 2, "factor": 3}, where="x")
    assert (rate.rate, rate.factor) == (2.0, 3.0)
    assert isinstance(rate.rate, float)
    assert isinstance(rate.factor, float)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], r"x: expected an object with named values, got \[\]"),
        ({"step": 3}, r"x: 'step' is not a setting of Outer\. Did you mean 'steps'\?"),
        ({"zzz": 3}, r"x: 'zzz' is not a setting of Outer\. It has steps, rate, "),
        ({"inner": {"widht": 3}}, r"x: inner: 'widht' is not a setting of Inner\. Did you mean 'width'\?"),
        ({"inner": 3}, r"x: inner: expected an object"),
        ({"steps": "3"}, r"x: steps must be int, got '3'"),
        ({"steps": 3.5}, r"x: steps must be int, got 3\.5"),
        ({"steps": True}, r"x: steps must be int, got True"),
        ({"steps": None}, r"x: steps must be int, got None"),
        ({"rate": "fast"}, r"x: rate must be float, got 'fast'"),
        ({"rate": True}, r"x: rate must be float, got True"),
        ({"fast": 1}, r"x: fast must be bool, got 1"),
        ({"name": 1}, r"x: name must be str, got 1"),
        ({"limit": "no"}, r"x: limit must be int, got 'no'"),
        ({"sizes": [1, "2"]}, r"x: sizes must be int, got '2'"),
        ({"sizes": 5}, r"x: sizes must be a list, got 5"),
        ({"inner": {"kind": "c"}}, r"x: inner: kind must be one of 'a', 'b', got 'c'"),
        ({"steps": 0}, r"steps must be at least 1, got 0"),
    ],
)
def test_what_does_not_fit_is_named(values, words):
    with pytest.raises(ConfigError, match=words):
        config_from_dict(Outer, values, where="x")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"nothing\.json does not exist"):
        load_config(Outer, tmp_path / "nothing.json")
    (tmp_path / "half.json").write_text('{"steps": ')
    with pytest.raises(ConfigError, match=r"half\.json is not valid JSON"):
        load_config(Outer, tmp_path / "half.json")


def test_differences_are_named_by_their_path():
    assert config_differences(Outer(), Outer()) == {}
    changed = Outer(steps=11, sizes=(1,), inner=Inner(width=5))
    assert config_differences(Outer(), changed) == {
        "steps": (10, 11),
        "sizes": ((), (1,)),
        "inner.width": (4, 5),
    }
