"""Sampling with the learner's own rule: their probabilities, our draw.

Read sampling.py before. The learner's next_token_probabilities takes the place of temperature and top-k; the
token is drawn as always, so that the same seed gives the same text where both agree. Used by cli/sample.py.
"""

import dataclasses
from collections.abc import Callable

from jaxtyping import Bool, Float
from torch import Tensor

from nn2llm.generation.sampling import SamplingConfig, apply_sampling

__all__ = ["OwnSampling"]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class OwnSampling(SamplingConfig):
    """The rules of a `SamplingConfig`; temperature and top-k by `probabilities`."""

    probabilities: Callable[[Tensor, float, int | None], Tensor]
    """(logits [B, V], temperature, top_k) to probabilities [B, V]."""

    def apply(self, logits: Float[Tensor, "B V"], seen: Bool[Tensor, "B V"] | None) -> Float[Tensor, "B V"]:
        """Repetition penalty, the learner's rule, top-p, min-p. At temperature 0 nothing is drawn: ours."""
        if self.temperature == 0:
            return apply_sampling(logits, self, seen)
        if self.repetition_penalty != 1:
            logits = apply_sampling(logits, SamplingConfig(repetition_penalty=self.repetition_penalty), seen)
        own = self.probabilities(logits, self.temperature, self.top_k).log()
        return apply_sampling(own, SamplingConfig(top_p=self.top_p, min_p=self.min_p))
