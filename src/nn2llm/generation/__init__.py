"""Writing text with a model: sampling rules, and the engine with a KV cache."""

from nn2llm.generation.engine import TextPiece, generate, generate_uncached, stream
from nn2llm.generation.rows import Generation
from nn2llm.generation.sampling import SamplingConfig

__all__ = ["Generation", "SamplingConfig", "TextPiece", "generate", "generate_uncached", "stream"]
