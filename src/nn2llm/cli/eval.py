"""`nn2llm eval RUN`: how good is a trained model, on which text, and how sure is that?

Any text gives bits per byte and perplexity beside gzip and xz; a micro-world also the floor and what the
model knows (evals/). The figures go to stdout as tables, or as JSON with --json, and to RUN/evals/NAME.json.
torch is imported after the options have been read: `--help` and mistakes answer at once.
"""

import json
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.markup import escape
from tyro.conf import Positional, arg

from nn2llm.cli.run_reading import get_runs_root, read_config
from nn2llm.core.errors import ConfigError, DataError
from nn2llm.core.files import read_json
from nn2llm.core.run_folder import RunFolder, find_run

if TYPE_CHECKING:
    from nn2llm.data.corpora import Corpus
    from nn2llm.evals.microworld_probes import MicroworldReport
    from nn2llm.models.gpt import GPT
    from nn2llm.tokenizers import Tokenizer

__all__ = ["EvalConfig", "main"]

_FORMAT = "nn2llm evaluation 1"
_MAX_SEED = 2**32 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalConfig:
    """Measure a trained model: bits per byte and perplexity, and in a micro-world what it knows."""

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """Name of a run, or the path of its folder."""
    corpus: Annotated[str | None, arg(metavar="NAME|PATH")] = None
    """Text to evaluate on. Default: the one of the run."""
    split: Literal["val", "train", "all"] = "val"
    """The held-out part of the corpus, the part for training, or all of it."""
    max_documents: Annotated[int | None, arg(metavar="INT")] = None
    """Evaluate on this many documents at most."""
    max_tokens: int = 200_000
    """Evaluate on this many tokens at most: the beginning of the text, whole documents."""
    stride: Annotated[int | None, arg(metavar="INT")] = None
    """Tokens by which the window moves: smaller shows the model more and is slower. Default: half a row."""
    ifeval: Annotated[str | None, arg(metavar="FILE")] = None
    """Measure instruction following instead, on the items of IFEval's input_data.jsonl (or
    hf:OWNER/NAME/PATH)."""
    skip_unusable: bool = False
    """With --ifeval: leave out broken lines, and count them, instead of stopping."""
    max_new_tokens: int = 512
    """With --ifeval: tokens a reply at most."""
    probes: bool = True
    """In a micro-world: measure the floor, grammar, recall and learning from context too."""
    num_items: int = 200
    """Questions a probe."""
    seed: int = 0
    """Seed of the probes' questions and of the intervals."""
    batch_size: int = 32
    """Rows at once."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    name: Annotated[str | None, arg(metavar="NAME")] = None
    """Write RUN/evals/NAME.json. Default: corpus and step."""
    json: bool = False
    """Print JSON instead of tables."""
    runs: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder of the runs. Default: NN2LLM_RUNS, else ./runs."""


def _read_fingerprint(run: RunFolder) -> str | None:
    """Of the text that the run was trained on, where it was written down."""
    with suppress(DataError):
        machine = read_json(run.path / "machine.json")
        if isinstance(machine, dict):
            return machine.get("corpus_fingerprint")
    return None


def main(argv: list[str]) -> int:
    """Run `nn2llm eval`; returns the exit code.

    Raises:
        Nn2llmError: for a missing run, checkpoint or corpus, or text that the model cannot read.
    """
    config = tyro.cli(EvalConfig, prog="nn2llm eval", args=argv)
    _check(config)
    run = RunFolder(find_run(config.run, get_runs_root(config.runs)))
    if config.ifeval is not None:
        from nn2llm.cli.eval_ifeval import evaluate_instructions

        return evaluate_instructions(
            run,
            config.ifeval,
            max_new_tokens=config.max_new_tokens,
            batch_size=config.batch_size,
            skip_unusable=config.skip_unusable,
            device=config.device,
            name=config.name,
            as_json=config.json,
        )
    settings = read_config(run.path)

    from dataclasses import asdict

    from nn2llm import __version__
    from nn2llm.cli.eval_tables import build_report
    from nn2llm.core.device import choose_device
    from nn2llm.core.files import write_json_atomic
    from nn2llm.evals.text_report import evaluate_text
    from nn2llm.train.checkpoint import find_best_checkpoint, load_trained_model

    spec, corpus = _open_corpus(config, run, settings)
    step = int(find_best_checkpoint(run).name.removeprefix("step_"))
    device = choose_device(config.device)
    model, tokenizer = load_trained_model(run.path, device=device)
    seq_len = min(settings.get("seq_len") or model.config.max_seq_len, model.config.max_seq_len)
    if config.stride is not None and config.stride > seq_len:
        raise ConfigError(
            f"stride must be at most {seq_len}, the tokens of a row of this run, got {config.stride}."
        )
    console = Console(highlight=False)
    with Console(stderr=True).status(escape(f"evaluating {run.path.name} on {spec}")):
        text = evaluate_text(
            model,
            tokenizer,
            corpus,
            split=config.split,
            max_documents=config.max_documents,
            max_tokens=config.max_tokens,
            seq_len=seq_len,
            stride=config.stride,
            # with a document mask the model has never seen the end of one document before the next
            rows=not settings.get("document_mask", False),
            batch_size=config.batch_size,
            seed=config.seed,
        )
        microworld = _probe(config, corpus, model, tokenizer, seq_len) if config.probes else None
    record: dict[str, Any] = {
        "format": _FORMAT,
        "nn2llm": __version__,
        "run": run.path.name,
        "step": step,
        "corpus": spec,
        "corpus_fingerprint": corpus.fingerprint(),
        "is_own_corpus": spec == settings.get("corpus"),
        "split": config.split,
        "max_documents": config.max_documents,
        "max_tokens": config.max_tokens,
        "seed": config.seed,
        "seq_len": seq_len,
        "device": device.type,
        "text": asdict(text),
        "microworld": None if microworld is None else asdict(microworld),
    }
    if record["is_own_corpus"] and _read_fingerprint(run) not in (None, corpus.fingerprint()):
        print(
            f"Note: the text of {spec} has changed since this model was trained (another nn2llm, or other "
            "files). It is judged on what it has not read.",
            file=sys.stderr,
        )
    path = run.path / "evals" / f"{config.name or _name(spec, config.split, step)}.json"
    write_json_atomic(path, record)
    if config.json:
        print(json.dumps(record, indent=2, ensure_ascii=False))
    else:
        for part in build_report(record):
            console.print(part, markup=False)
        console.print(f"\nWritten to {path}.", soft_wrap=True)
    return 0


def _check(config: EvalConfig) -> None:
    # Not in __post_init__: tyro would put a frame of its own around the sentence.
    for name, least in (
        ("max_documents", 2),
        ("max_tokens", 2),
        ("stride", 1),
        ("num_items", 1),
        ("max_new_tokens", 1),
        ("batch_size", 1),
    ):
        value = getattr(config, name)
        if value is not None and value < least:
            raise ConfigError(f"{name} must be at least {least}, got {value}.")
    if not 0 <= config.seed <= _MAX_SEED:
        raise ConfigError(f"seed must be between 0 and {_MAX_SEED}, got {config.seed}.")
    if config.name is not None and not re.fullmatch(r"\w[\w.-]*", config.name):
        raise ConfigError(
            f"--name {config.name!r} cannot be the name of a file. Use letters, digits, '-', '_' and '.'."
        )


def _open_corpus(config: EvalConfig, run: RunFolder, settings: dict[str, Any]) -> "tuple[str, Corpus]":
    """The corpus asked for, or the run's own; and its name."""
    from nn2llm.data.corpora import load_corpus

    if config.corpus is not None:
        return config.corpus, load_corpus(config.corpus)
    spec = settings.get("corpus")
    if not isinstance(spec, str) or not spec:
        raise ConfigError(f"{run.path} does not say on which text it was trained. Name one with --corpus.")
    try:
        return spec, load_corpus(spec)
    except DataError as error:
        raise DataError(
            f"The corpus of {run.path} cannot be opened. {error} Or name another with --corpus."
        ) from error


def _probe(
    config: EvalConfig, corpus: "Corpus", model: "GPT", tokenizer: "Tokenizer", seq_len: int
) -> "MicroworldReport | None":
    """The micro-world's floor and probes, on the documents that were scored; None for any other text."""
    from nn2llm.data.microworld_corpus import MicroworldCorpus

    if not isinstance(corpus, MicroworldCorpus):
        return None
    from nn2llm.evals.floor import read_documents
    from nn2llm.evals.microworld_probes import ModelScorer, probe_microworld
    from nn2llm.evals.perplexity import take_documents
    from nn2llm.evals.text_report import iterate_documents

    world = corpus.build_world()
    texts, _ = take_documents(
        iterate_documents(corpus, config.split),
        tokenizer,
        max_documents=config.max_documents,
        max_tokens=config.max_tokens,
    )
    scorer = ModelScorer(
        model=model, tokenizer=tokenizer, seq_len=seq_len, stride=config.stride, batch_size=config.batch_size
    )
    documents = read_documents(world, texts)
    return probe_microworld(scorer, world, documents, num_items=config.num_items, seed=config.seed)


def _name(spec: str, split: str, step: int) -> str:
    """microworld-step-420; a path's last part, with what a file name cannot hold left out."""
    stem = re.sub(r"[^\w]+", "-", Path(spec).name if "/" in spec else spec).strip("-")[:60] or "text"
    return f"{stem}-step-{step}" if split == "val" else f"{stem}-{split}-step-{step}"
