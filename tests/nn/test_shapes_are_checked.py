"""The import hook of tests/conftest.py works: a wrong shape or type is an error in nn, losses, generation."""

import pytest
import torch
from jaxtyping import TypeCheckError

from nn2llm.generation.sampling import draw_at
from nn2llm.losses import cross_entropy
from nn2llm.nn.masks import document_mask
from nn2llm.nn.norms import RMSNorm, rms_norm


@pytest.mark.parametrize(
    "call",
    [
        lambda: rms_norm(torch.ones(2, 3), torch.ones(4)),  # two widths
        lambda: rms_norm(torch.ones(2, 3, dtype=torch.long), None),  # not floats
        lambda: document_mask(torch.zeros(3, dtype=torch.long)),  # no batch
        lambda: RMSNorm(3)(torch.tensor(1)),  # methods too
        lambda: cross_entropy(torch.ones(2, 3), torch.ones(3, dtype=torch.long)),  # two lengths
        lambda: draw_at(torch.ones(2, 3), torch.ones(3)),  # two batches
        lambda: RMSNorm("3"),  # plain types too
    ],
)
def test_a_wrong_shape_raises(call):
    with pytest.raises(TypeCheckError):
        call()


def test_an_int_is_a_float():
    # PEP 484's numeric tower
    assert rms_norm(torch.ones(2), None, eps=1).shape == (2,)
