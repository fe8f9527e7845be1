"""The conversation of `nn2llm chat`: turns, and the commands between them.

Read chat_speaker.py and chat_tables.py before. Used by chat.py.
"""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from rich.cells import cell_len
from rich.console import Console

from nn2llm.cli.chat_judge import Judge, Judgement
from nn2llm.cli.chat_speaker import Speaker, Turn, load_speaker, to_messages
from nn2llm.cli.chat_stages import ChatSource
from nn2llm.cli.chat_tables import (
    build_compare_table,
    build_stage_table,
    build_why_table,
    describe_judgement,
    describe_tokens,
)
from nn2llm.cli.talk import Settings, is_command, printable, read_text, refuse_command
from nn2llm.core.errors import ConfigError, DataError
from nn2llm.core.files import storage_errors, write_bytes_atomic
from nn2llm.tokenizers.base import replace_surrogates
from nn2llm.tokenizers.chat import Message
from nn2llm.train.mine import describe_own_parts

__all__ = ["Chat", "append_conversation"]

_HELP = """\
Type a message and press Enter. \\n stands for a new line, // begins a message
with a slash.
  /stage NAME       talk to another stage from here on; without NAME: list them
  /compare TEXT     the replies of all stages to TEXT, side by side; without
                    TEXT: to your last message. The conversation stays as it is
  /why              the last reply, token by token: how probable each was, and
                    what could have stood there instead
  /undo             take back your last message and its reply
  /new              forget the conversation
  /save FILE.jsonl  add the conversation to a file for `nn2llm sft --data`
  /temperature 0.7  below 1: more probable replies; above 1: more surprising;
                    0: always the most probable token
  /seed 1           the same seed gives the same replies
  /length 200       tokens of a reply at most
  /settings         show these values; /top-k, /top-p, /min-p and
                    /repetition-penalty change the others
  /quit             leave, as Ctrl-D does; Ctrl-C stops a reply"""


class Chat:
    """A conversation with the stages of a recipe, or with one run.

    Args:
        source: the models; each is loaded when it is first needed.
        console: where replies go, and what a command was asked for.
        notes: where everything else goes; the same console on a terminal.
        settings: how replies are written.
        device: where the models run.
        stage: who talks; None is the source's default.

    Raises:
        Nn2llmError: if there is no such stage, or its model cannot be loaded.
    """

    def __init__(
        self,
        source: ChatSource,
        *,
        console: Console,
        notes: Console,
        settings: Settings,
        device: torch.device,
        stage: str | None = None,
    ) -> None:
        self.turns: list[Turn] = []
        self.speakers: dict[str, Speaker] = {}
        self._source = source
        self._console = console
        self._notes = notes
        self._settings = settings
        self._device = device
        self._judge = Judge(source, device)
        self._num_forgotten = 0
        self.stage = source.default if stage is None else source.choose(stage)
        self._speaker(self.stage)
        self._commands: dict[str, Callable[[str], None]] = {
            "help": lambda _: self._print_note(_HELP, asked=True),
            "stage": self._change_stage,
            "compare": self._compare,
            "why": self._explain,
            "undo": self._undo,
            "new": self._forget,
            "save": self._save,
        }

    def answer(self, line: str) -> bool:
        """Reply to a line, or do what it says; returns whether to go on.

        Raises:
            Nn2llmError: for a command or message that cannot be; the conversation is as before.
        """
        line = replace_surrogates(line)
        if not line.strip():
            return True
        if not is_command(line):
            self.reply(read_text(line))
            return True
        name, _, value = line[1:].strip().partition(" ")
        if name in {"quit", "exit"}:
            return False
        if name in self._commands:
            self._commands[name](value.strip())
        elif name in Settings.COMMANDS:
            self._print_note(self._settings.run(name, value.strip()))
        else:
            raise refuse_command(name, [*self._commands, *Settings.COMMANDS, "quit", "exit"])
        return True

    def reply(self, user: str) -> Turn:
        """Let the stage reply to a message, on the screen as it comes; the turn joins the conversation."""
        speaker = self._speaker(self.stage)
        prompt = speaker.build_prompt(self.turns, user, self._settings.max_new_tokens)
        if prompt.num_forgotten > self._num_forgotten:
            turns = (
                "The oldest turn" if prompt.num_forgotten == 1 else f"The oldest {prompt.num_forgotten} turns"
            )
            are = "is" if prompt.num_forgotten == 1 else "are"
            self._print_note(
                f"[{turns} {are} forgotten: the context of {speaker.context} tokens is too short for all]"
            )
        self._num_forgotten = max(self._num_forgotten, prompt.num_forgotten)
        writer = _LineWriter(self._console, f"{self.stage}> ")
        try:
            turn = speaker.write(prompt, user, self._settings, on_text=writer.write)
        finally:
            writer.end()
        self._settings.seed += 1  # the same message again shall get another reply
        self._keep(turn, speaker)
        return turn

    def _keep(self, turn: Turn, speaker: Speaker) -> None:
        if turn.finish == "stopped" and self._notes is not self._console:
            raise KeyboardInterrupt  # not a talk: nobody would go on
        if not turn.reply:
            # No template has room for an empty turn, so neither has the conversation.
            why = "stopped" if turn.finish == "stopped" else f"{turn.stage} ended its turn without a word"
            self._print_note(f"[{why}; your message is not kept]")
            return
        self.turns.append(turn)
        if turn.finish == "stopped":
            self._print_note("[stopped]")
        elif turn.finish == "length":
            self._print_note(f"[cut after {len(turn.reply_ids)} tokens; /length allows more]")
        elif turn.finish == "context":
            self._print_note(f"[cut: the context of {speaker.context} tokens is full]")

    def introduce(self) -> None:
        """Say who talks, and how to go on."""
        others = [name for name in self._source.stages if name != self.stage]
        self._print_note(f"{self._source.path}")
        self._introduce_stage()
        if others:
            self._print_note(f"Other stages: {', '.join(others)}. /stage NAME changes, /compare asks all.")
        if suggestions := self._judge.suggest():
            self._print_note("It knows one village, so ask it such as:")
            for suggestion in suggestions:
                self._print_note(f"  {suggestion}")
        self._print_note("Type a message; /help lists the commands, Ctrl-D leaves.")

    def _introduce_stage(self) -> None:
        speaker = self._speaker(self.stage)
        self._print_note(f"You talk to {self.stage}, {speaker.description}.")
        if speaker.is_base:
            self._print_note("It sees one message at a time, as a line of text, and writes the next line.")
        self.say_whose_parts()

    def say_whose_parts(self) -> None:
        """Where the learner's own parts trained the stage: which."""
        if own_parts := describe_own_parts(self._source.stages[self.stage]):
            self._print_note(own_parts)

    def _speaker(self, stage: str) -> Speaker:
        if stage not in self.speakers:
            self.speakers[stage] = load_speaker(stage, self._source.stages[stage], self._device)
        return self.speakers[stage]

    def _change_stage(self, name: str) -> None:
        if not name:
            stages = {stage: self._speaker(stage).description for stage in self._source.stages}
            self._console.print(build_stage_table(stages, self.stage))
            return
        stage = self._source.choose(name)
        self._speaker(stage)  # before anything changes: it may be damaged
        self.stage = stage
        self._num_forgotten = 0
        self._introduce_stage()

    def _compare(self, text: str) -> None:
        if text:
            turns, user = self.turns, read_text(text)
        elif self.turns:
            turns, user = self.turns[:-1], self.turns[-1].user
        else:
            raise ConfigError("There is no message to compare replies to yet. Write /compare TEXT.")
        entries: list[tuple[Turn, Judgement]] = []
        for stage in self._source.stages:
            speaker = self._speaker(stage)
            prompt = speaker.build_prompt(turns, user, self._settings.max_new_tokens)
            with self._notes.status(f"{stage} writes …"):
                turn = speaker.write(prompt, user, self._settings)
            if turn.finish == "stopped":
                raise KeyboardInterrupt
            entries.append((turn, self._judge.judge(to_messages(turns, user), turn.reply)))
        self._settings.seed += 1
        if not text:
            self._print_note(f"you> {printable(user)}", asked=True)
        self._console.print(build_compare_table(entries, width=self._console.width))

    def _explain(self, _: str) -> None:
        if not self.turns:
            raise ConfigError("There is no reply to explain yet. Write a message first.")
        turn = self.turns[-1]
        speaker = self._speaker(turn.stage)
        choices = speaker.explain(turn)
        encoding = self._console.encoding
        width = self._console.width
        self._console.print(build_why_table(choices, speaker.tokenizer, width=width, encoding=encoding))
        summary = describe_tokens(choices, speaker.tokenizer, encoding=encoding)
        self._print_note(f"{turn.stage} wrote {summary}", asked=True)
        judgement = self._judge.judge(to_messages(self.turns[:-1], turn.user), turn.reply)
        for line in describe_judgement(judgement):
            self._print_note(line, asked=True)

    def _undo(self, _: str) -> None:
        if not self.turns:
            raise ConfigError("There is nothing to take back.")
        turn = self.turns.pop()
        self._num_forgotten = min(self._num_forgotten, len(self.turns))
        self._print_note(f"Taken back: {printable(turn.user)}")

    def _forget(self, _: str) -> None:
        self.turns.clear()
        self._num_forgotten = 0
        self._print_note("The conversation is forgotten.")

    def _save(self, file: str) -> None:
        if not self.turns:
            raise ConfigError("There is no conversation to save yet.")
        if not file.isprintable() or not file.endswith(".jsonl") or file == ".jsonl":
            raise ConfigError(f"/save needs the name of a .jsonl file, got {file!r}.")
        path = Path(os.path.expanduser(file))
        count = append_conversation(path, to_messages(self.turns))
        what = "conversation" if count == 1 else "conversations"
        self._print_note(f"Saved: {path} holds {count} {what} now.")

    def _print_note(self, text: str, *, asked: bool = False) -> None:
        """A dim line; what was asked for goes where replies go."""
        console = self._console if asked else self._notes
        console.print(text, style="dim", markup=False, highlight=False)


def append_conversation(path: Path, messages: Sequence[Message]) -> int:
    """Add a conversation to a .jsonl file, whole or not at all; returns how many lines it has then.

    Raises:
        DataError: if the file is not text.
        StorageError: if it cannot be written.
    """
    with storage_errors(path):
        old = path.read_bytes() if path.exists() else b""
    try:
        old.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a text file ({error}). Choose another name.") from error
    lines = [line for line in old.splitlines() if line.strip()]
    lines.append(json.dumps({"messages": list(messages)}, ensure_ascii=False).encode())
    write_bytes_atomic(path, b"\n".join(lines) + b"\n")
    return len(lines)


class _LineWriter:
    """Prints a reply as it comes: on a terminal behind a label and broken between words, else as it is."""

    def __init__(self, console: Console, label: str) -> None:
        self._console = console
        self._column = 0
        self._word = ""
        if console.is_terminal:
            self._print(label, "bold")

    def write(self, text: str) -> None:
        """More of the reply."""
        if not self._console.is_terminal:
            self._print(text)
            return
        for char in printable(text):
            if char in " \n\t":
                self._flush()
            self._word += char

    def end(self) -> None:
        """No more will come: the rest, and a line break."""
        self._flush()
        self._print("\n")

    def _flush(self) -> None:
        """Print the word held back, on the next line if this one is too short for it."""
        word, self._word = self._word, ""
        if word and word[0] != "\n" and self._column and self._column + cell_len(word) > self._console.width:
            self._print("\n")
            word = word.lstrip(" ")
        self._print(word)

    def _print(self, text: str, style: str | None = None) -> None:
        if text:
            self._console.out(printable(text), style=style, end="", highlight=False)
            *before, last = text.split("\n")
            self._column = cell_len(last) + (0 if before else self._column)
