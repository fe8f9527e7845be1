"""`nn2llm chat RUN`: talk to a chat model, stage by stage.

On a terminal it is a conversation (chat_loop.py); with --prompt, or with lines from a pipe, it prints the
replies alone and everything else on stderr. torch is imported after the options have been read: `--help` and
mistakes answer at once.
"""

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from tyro.conf import Positional, arg

from nn2llm.cli.chat_stages import find_chat, open_folder
from nn2llm.cli.run_reading import get_runs_root
from nn2llm.cli.talk import Settings, take_lines
from nn2llm.core.errors import ConfigError, Nn2llmError

if TYPE_CHECKING:
    from nn2llm.cli.chat_loop import Chat

__all__ = ["ChatConfig", "main", "open_chat"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatConfig:
    """Talk to a chat model.

    RUN is what `nn2llm chatgpt` made (its stages can all be talked to, and compared), or a single run. Lines
    from a pipe are messages of one conversation; their replies are printed.
    """

    run: Annotated[Positional[str | None], arg(metavar="RUN")] = None
    """Name of a recipe or run, or the path of its folder. Default: the newest recipe."""
    stage: Annotated[str | None, arg(metavar="NAME")] = None
    """base, sft, ppo or dpo. Default: the best aligned one that is finished."""
    prompt: Annotated[str | None, arg(metavar="TEXT")] = None
    """Answer this one message and exit."""
    temperature: float = 0.7
    """Below 1: more probable replies; above 1: more surprising; 0: always the most probable token."""
    max_new_tokens: int = 200
    """Tokens of a reply at most."""
    seed: int = 1
    """The same seed gives the same replies."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    runs: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder of the runs. Default: NN2LLM_RUNS, else ./runs."""


def main(argv: list[str]) -> int:
    """Run `nn2llm chat`; returns the exit code.

    Raises:
        Nn2llmError: for a missing run or stage, a setting that cannot work, or a prompt that is too long.
    """
    config = tyro.cli(ChatConfig, prog="nn2llm chat", args=argv)
    if config.max_new_tokens < 1:
        raise ConfigError(f"max_new_tokens must be at least 1, got {config.max_new_tokens}.")
    if config.prompt is not None and not config.prompt.strip():
        raise ConfigError("--prompt needs a message, got an empty one.")
    source = find_chat(config.run, get_runs_root(config.runs))
    stage = source.default if config.stage is None else source.choose(config.stage)

    from nn2llm.cli.chat_loop import Chat
    from nn2llm.core.device import choose_device
    from nn2llm.generation.sampling import SamplingConfig

    settings = Settings(SamplingConfig(temperature=config.temperature), config.max_new_tokens, config.seed)
    console = Console(highlight=False)
    interactive = config.prompt is None and sys.stdin.isatty() and sys.stdout.isatty()
    chat = Chat(
        source,
        console=console,
        notes=console if interactive else Console(stderr=True, highlight=False),
        settings=settings,
        device=choose_device(config.device),
        stage=stage,
    )
    if interactive:
        _hold(chat, console)
        return 0
    chat.say_whose_parts()
    if config.prompt is not None:
        chat.reply(config.prompt)
        return 0
    return _answer_lines(chat)


def open_chat(path: Path, console: Console, *, stage: str | None = None) -> None:
    """Talk on a terminal to what was trained in `path`, a recipe's folder or a run, until the user leaves.

    Raises:
        Nn2llmError: if no stage is finished, there is no such stage, or it cannot be loaded.
    """
    from nn2llm.cli.chat_loop import Chat
    from nn2llm.core.device import choose_device
    from nn2llm.generation.sampling import SamplingConfig

    default = ChatConfig()
    chat = Chat(
        open_folder(path),
        console=console,
        notes=console,
        settings=Settings(
            SamplingConfig(temperature=default.temperature), default.max_new_tokens, default.seed
        ),
        device=choose_device(default.device),
        stage=stage,
    )
    _hold(chat, console)


def _hold(chat: "Chat", console: Console) -> None:
    chat.introduce()
    take_lines(console, chat.answer, prompt="you> ")


def _answer_lines(chat: "Chat") -> int:
    """Messages and commands from a pipe, a line each; a mistake costs the exit code, not the other lines."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    exit_code = 0
    for line in sys.stdin:
        try:
            if not chat.answer(line.rstrip("\r\n")):
                break
        except Nn2llmError as error:
            print(f"error: {error}", file=sys.stderr)
            exit_code = error.exit_code
    return exit_code
