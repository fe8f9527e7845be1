"""Which recipe a config means: all from a micro-world, partly given, or all from real data.

Read stages.py, given_stages.py and real_stages.py before. Used by recipe.py.
"""

from pathlib import Path

from rich.console import Console

from nn2llm.recipe.config import ChatGPTConfig
from nn2llm.recipe.given_stages import BasedRecipe, PairedRecipe
from nn2llm.recipe.real_stages import RealRecipe
from nn2llm.recipe.sources import require_sources
from nn2llm.recipe.stages import Recipe

__all__ = ["build_recipe"]


def build_recipe(config: ChatGPTConfig, out: Path, console: Console) -> Recipe:
    """The stages of a config, in a folder; no file is read before its stages are built.

    Raises:
        ConfigError: if what is given does not go together, or something is missing.
    """
    require_sources(config)
    if not config.has_world:
        return RealRecipe(config, out, console)
    if config.given.preferences:
        return PairedRecipe(config, out, console)
    if config.given.base is not None:
        return BasedRecipe(config, out, console)
    return Recipe(config, out, console)
