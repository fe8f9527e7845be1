"""What training minimises: pure functions on tensors, in nats.

Read cross_entropy.py first, then linear_cross_entropy.py; regression.py is for the first lessons.
Each loss has a version to read and, where torch has one, the fast call it equals; tests hold them together.
"""

from nn2llm.losses.cross_entropy import (
    IGNORE_INDEX,
    count_targets,
    cross_entropy,
    fast_cross_entropy,
    soft_cap,
)
from nn2llm.losses.linear_cross_entropy import linear_cross_entropy
from nn2llm.losses.regression import binary_cross_entropy_with_logits, mse_loss

__all__ = [
    "IGNORE_INDEX",
    "binary_cross_entropy_with_logits",
    "count_targets",
    "cross_entropy",
    "fast_cross_entropy",
    "linear_cross_entropy",
    "mse_loss",
    "soft_cap",
]
