"""nn2llm: from neural networks to a chat model, to learn from and to train with."""

__version__ = "0.1.0"
