"""The checks of every part: checks_model.py those of the model, checks_training.py those of a training step.

Read checking.py before.
"""

from nn2llm.models.parts.checking import Check
from nn2llm.models.parts.checks_model import MODEL_CHECKS
from nn2llm.models.parts.checks_training import TRAINING_CHECKS

__all__ = ["CHECKS"]

CHECKS: dict[str, tuple[Check, ...]] = {**MODEL_CHECKS, **TRAINING_CHECKS}
"""By the part's name."""
