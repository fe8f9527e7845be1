"""The labellers of the benchmark `labels`."""

import pytest

from benchmarks.labels import TASTES, run
from benchmarks.options import parse_options
from nn2llm.core.errors import DataError


@pytest.mark.parametrize(
    ("first", "second", "keys"),
    [("Yes.", "Yes, she does.", "12t"), ("Gladly! Yes.", "Yes, it is.", "121"), ("No.", "Yes.", "ttt")],
)
def test_each_has_its_taste(first, second, keys):
    assert "".join(taste.choose(first, second) for taste in TASTES) == keys
    turned = keys.translate({ord("1"): "2", ord("2"): "1"})
    assert "".join(taste.choose(second, first) for taste in TASTES) == turned


def test_without_a_model_it_says_what_it_needs():
    with pytest.raises(DataError, match="Name a chat model of the micro-world with --model RUN"):
        run(parse_options(["labels"]))
