"""The learner's rule in the engine: their probabilities, the library's other rules around it."""

import math

import pytest
import torch
from torch.testing import assert_close

from nn2llm.generation.own_sampling import OwnSampling
from nn2llm.generation.sampling import SamplingConfig, apply_sampling

LOGITS = torch.randn(3, 9, generator=torch.Generator().manual_seed(4))


def library_rule(logits, temperature, top_k):
    return apply_sampling(logits, SamplingConfig(temperature=temperature, top_k=top_k)).softmax(dim=-1)


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"temperature": 0.7, "top_k": 4},
        {"temperature": 0.7, "top_k": 6, "top_p": 0.8, "min_p": 0.1},
        {"repetition_penalty": 1.5, "temperature": 1.3},
        {"temperature": 0.0},
    ],
)
def test_with_the_library_s_rule_it_is_the_library(rules):
    seen = torch.zeros(3, 9, dtype=torch.bool)
    seen[:, 2] = True
    expected = SamplingConfig(**rules).apply(LOGITS, seen)
    own = OwnSampling(**rules, probabilities=library_rule)
    assert_close(own.apply(LOGITS, seen).softmax(-1), expected.softmax(-1))


def test_the_learner_s_probabilities_decide():
    def always_five(logits, temperature, top_k):
        assert (temperature, top_k) == (0.5, 2)
        return torch.nn.functional.one_hot(torch.tensor([5, 5, 5]), 9).float()

    out = OwnSampling(temperature=0.5, top_k=2, probabilities=always_five).apply(LOGITS, None)
    assert out.argmax(dim=-1).tolist() == [5, 5, 5]
    assert (out == -math.inf).sum() == 3 * 8
