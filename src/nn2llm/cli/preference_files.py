"""Whose replies a labels file is about: asked before a model learns from another one's.

What was preferred among one model's replies says less about another's, which may never write such replies.
So `nn2llm reward` and `nn2llm dpo` compare the weights that the file names (and those they were trained from)
with the model that is to be trained. Files that do not say whose replies they hold are taken as they are.
Read data/label_files.py and train/lineage.py before. Used by reward.py and dpo.py.
"""

import sys

from rich.console import Console

from nn2llm.cli.stage_options import StageOptions
from nn2llm.core.errors import ConfigError
from nn2llm.core.run_folder import RunFolder, find_run
from nn2llm.data.label_files import read_label_models
from nn2llm.train.lineage import are_relatives, trace_lineage
from nn2llm.train.pair_config import PairConfig

__all__ = ["check_label_models"]


def check_label_models(
    options: StageOptions, settings: PairConfig, *, allowed: bool, console: Console
) -> bool:
    """Whether to train. Asks on a terminal where the labels are of models that are no relatives.

    Raises:
        ConfigError: if they are, it was not allowed, and there is nobody to ask.
        DataError: if the file cannot be read.
        CheckpointError: if the model to be trained has no whole checkpoint.
    """
    goes_on = options.resume and options.out is not None and RunFolder(options.out).exists
    if allowed or goes_on or not settings.data or not settings.init_from:
        return True
    models = read_label_models(settings.data)
    if not models:
        return True
    lineage = trace_lineage(find_run(settings.init_from))
    foreign = [f"{one.name} ({one.path})" for one in models if not are_relatives(one.lineage, lineage)]
    if not foreign:
        return True
    said = (
        f"{settings.data} compares replies of {', '.join(foreign)}, which has no weights in common with "
        f"{settings.init_from}, not even those that it was trained from"
    )
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError(f"{said}. Label its own replies, or train on these with --allow-other-model.")
    console.print(
        f"{said}. It learns less from replies that it would not write.", markup=False, soft_wrap=True
    )
    try:
        answer = console.input("Train on them all the same? (y/n) ")
    except EOFError:
        answer = ""
    if answer.strip().lower() in ("y", "yes"):
        return True
    console.print("Nothing was trained.")
    return False
