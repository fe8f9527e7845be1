"""A small village with known truth: texts of known probability, tasks of known gold score.

Read in this order: wordings.py, script.py, vocabulary.py, village.py, cast.py, storytelling.py, mishaps.py,
dealings.py, stories.py, portraits.py, questions.py, dialogues.py, world.py, probes.py. The second half is for
models that talk: phrases.py, lexicon.py, claims.py, unknowable.py, harm.py, replies.py (what a reply says),
task.py, asking.py, honesty.py, making.py, tales.py, tasks.py (what users ask), gold.py, demonstrations.py,
labellers.py.
"""

from nn2llm.microworld.script import AmbiguityError, ForeignTextError
from nn2llm.microworld.village import FACT_KINDS, Fact, Person, Village, WorldConfig, build_village
from nn2llm.microworld.world import (
    GENRES,
    MICROWORLD,
    Document,
    World,
    build_world,
    format_world_spec,
    is_world_spec,
    parse_world_spec,
)

__all__ = [
    "FACT_KINDS",
    "GENRES",
    "MICROWORLD",
    "AmbiguityError",
    "Document",
    "Fact",
    "ForeignTextError",
    "Person",
    "Village",
    "World",
    "WorldConfig",
    "build_village",
    "build_world",
    "format_world_spec",
    "is_world_spec",
    "parse_world_spec",
]
