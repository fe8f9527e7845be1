"""`nn2llm chat`: whom it finds, what it replies, and what it answers to mistakes."""

import dataclasses
import io
import json
import math
import os
import re
import select
import shutil
import string
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from rich.cells import cell_len
from rich.console import Console

from nn2llm.cli.chat import open_chat
from nn2llm.cli.chat_judge import Judge, Judgement
from nn2llm.cli.chat_loop import Chat, append_conversation
from nn2llm.cli.chat_speaker import Speaker, TokenChoice, Turn
from nn2llm.cli.chat_stages import find_chat, open_folder
from nn2llm.cli.chat_tables import build_compare_table, build_why_table, describe_judgement, show_token
from nn2llm.cli.main import COMMANDS, Command, main
from nn2llm.cli.talk import Settings, take_lines
from nn2llm.core.errors import CheckpointError, ConfigError, DataError
from nn2llm.core.run_folder import RunFolder
from nn2llm.data.conversations import load_conversations
from nn2llm.generation.engine import generate
from nn2llm.generation.sampling import SamplingConfig
from nn2llm.microworld import build_world, parse_world_spec
from nn2llm.microworld.questions import list_questions_about
from nn2llm.models.chat_tokens import add_chat_tokens
from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.models.reward_model import RewardModel
from nn2llm.tokenizers import train_tokenizer
from nn2llm.tokenizers.chat import ChatFormat
from nn2llm.train.checkpoint import load_trained_model, save_checkpoint

WORLD = "microworld:people=16,name=Ada,trade=baker"
CHARACTERS = string.ascii_letters + " .,?!'/\n"
CONTEXT = 96
GREEDY = SamplingConfig(temperature=0.0)


def build_model(seed: int, tokenizer):
    """A small model with random weights that seldom ends a text by itself."""
    torch.manual_seed(seed)
    config = GPTConfig(vocab_size=tokenizer.vocab_size, max_seq_len=CONTEXT, n_layer=1, n_head=2, n_embd=16)
    model = GPT(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
        model.head.weight[tokenizer.end_of_text_id] = 0
    return model.eval()


def write_run(folder: Path, model, tokenizer, *, config: dict, kind: str = "gpt", finished: bool = True):
    run = RunFolder(folder)
    run.path.mkdir(parents=True)
    tokenizer.save(run.tokenizer_path)
    save_checkpoint(
        run,
        step=1,
        model_config=model.config,
        weights=model.state_dict(),
        training_state={},
        best_step=1,
        keep=1,
        kind=kind,
    )
    run.metrics_path.write_text('{"step": 1, "loss": 3.0}\n')
    run.config_path.write_text(json.dumps(config))
    if finished:
        (folder / "stage.json").write_text("{}")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe's folder of tiny random models; dpo is not finished."""
    path = tmp_path_factory.mktemp("runs") / "chatgpt-1"
    path.mkdir()
    (path / "config.json").write_text("{}")
    tokenizer = train_tokenizer("char", [CHARACTERS])
    write_run(path / "base", build_model(0, tokenizer), tokenizer, config={"corpus": WORLD})
    for seed, name in enumerate(("sft", "ppo", "dpo"), start=1):
        model, larger = add_chat_tokens(build_model(seed, tokenizer), tokenizer)
        write_run(path / name, model, larger, config={"steps": 1}, finished=name != "dpo")
    reward = RewardModel.from_gpt(model)
    torch.nn.init.normal_(reward.score.weight)
    write_run(path / "reward", reward, larger, config={"steps": 1}, kind="reward")
    return path


@pytest.fixture(autouse=True)
def _runs(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NN2LLM_RUNS", str(recipe.parent))
    monkeypatch.setitem(COMMANDS, "chat", Command("nn2llm.cli.chat", "talk to a chat model"))


def start(path: Path, *, width: int = 100, length: int = 8, terminal: bool = False, **settings) -> Chat:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)
    return Chat(
        open_folder(path),
        console=console,
        notes=console,
        settings=Settings(GREEDY, length, 1),
        device=torch.device("cpu"),
        **settings,
    )


def printed(chat: Chat) -> str:
    """What was printed since the last call."""
    file = chat._console.file
    assert isinstance(file, io.StringIO)
    text = file.getvalue()
    file.seek(0)
    file.truncate()
    return text


def say(chat: Chat, *lines: str) -> str:
    """What is printed when these lines are typed, mistakes included."""
    typed = iter([*lines, "/quit"])
    take_lines(chat._console, chat.answer, read_line=lambda: next(typed))
    return printed(chat)


def expect_reply(run: Path, *texts: str, length: int = 8) -> str:
    """The greedy reply of a stage to messages of user and assistant in turn, by the engine alone."""
    model, tokenizer = load_trained_model(run)
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]
    form = ChatFormat(tokenizer)
    [result] = generate(
        model,
        [form.encode(messages, add_generation_prompt=True).ids],
        max_new_tokens=length,
        sampling=GREEDY,
        tokenizer=tokenizer,
        stop_token_ids=list(tokenizer.special_tokens.values()),
    )
    assert result.text is not None
    return result.text.strip()


# Whom it finds


def test_the_best_finished_stage_talks_first(recipe: Path, tmp_path: Path) -> None:
    assert find_chat("chatgpt-1").default == "ppo"
    copy = tmp_path / "chatgpt-2"
    shutil.copytree(recipe, copy)
    found = []
    for unfinished in ("none", "ppo", "sft"):
        (copy / unfinished / "stage.json").unlink(missing_ok=True)
        found.append(find_chat(str(copy)).default)
    assert found == ["ppo", "sft", "base"]
    (copy / "dpo" / "stage.json").write_text("{}")
    assert find_chat(str(copy)).default == "dpo"
    assert list(find_chat(str(copy)).stages) == ["base", "dpo"]


def test_without_a_name_it_is_the_newest_recipe(recipe: Path, tmp_path: Path) -> None:
    for number, age in ((1, 500), (2, 0), (3, 100)):
        copy = tmp_path / "some" / f"chatgpt-{number}"
        shutil.copytree(recipe, copy)
        for log in copy.glob("*/metrics.jsonl"):
            os.utime(log, (2e9 - age, 2e9 - age))
    for marker in (tmp_path / "some" / "chatgpt-2").glob("*/stage.json"):
        marker.unlink()  # newest, but nothing of it is finished
    assert find_chat(None, tmp_path).path.name == "chatgpt-3"


def test_a_stage_s_folder_opens_its_recipe_at_this_stage(recipe: Path) -> None:
    source = find_chat("chatgpt-1/sft")
    assert (source.path, source.default, list(source.stages)) == (recipe, "sft", ["base", "sft", "ppo"])
    assert source.reward == recipe / "reward"
    assert source.corpus == WORLD


def test_an_unfinished_stage_is_a_single_run(recipe: Path) -> None:
    source = find_chat("chatgpt-1/dpo")
    assert (source.default, source.stages, source.reward) == ("dpo", {"dpo": recipe / "dpo"}, None)


def test_runs_named_as_stages_beside_each_other_are_no_recipe(recipe: Path, tmp_path: Path) -> None:
    for name in ("base", "sft"):
        shutil.copytree(recipe / name, tmp_path / name)
    assert list(find_chat("sft", tmp_path).stages) == ["sft"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["chatgtp-1"], 1, "Nearest: chatgpt-1/"),
        (["chatgpt-1", "--stage", "pppo"], 2, "has no stage 'pppo'. Did you mean 'ppo'?"),
        (["chatgpt-1", "--stage", "dpo"], 2, "has no finished stage 'dpo' yet, only base, sft, ppo."),
        (["chatgpt-1/reward", "--prompt", "Hi"], 1, "it scores replies and writes none"),
        (["chatgpt-1", "--prompt", "Hi", "--temperature", "-1"], 2, "temperature must be"),
        (["chatgpt-1", "--prompt", "Hi", "--max-new-tokens", "0"], 2, "must be at least 1, got 0"),
        (["chatgpt-1", "--prompt", " "], 2, "--prompt needs a message"),
        (["chatgpt-1", "--prompt", "Ada " * 90], 2, "a context of 96, its reply included"),
    ],
)
def test_mistakes_are_one_sentence(capsys, arguments, code, message) -> None:
    assert main(["chat", *arguments, "--device", "cpu"]) == code
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert message in captured.err
    assert captured.out == ""


def test_no_recipe_and_no_finished_stage_are_said(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no chat model in .* yet\. Make one with `nn2llm chatgpt`"):
        find_chat(None, tmp_path / "nothing")
    (tmp_path / "chatgpt-1" / "base").mkdir(parents=True)
    (tmp_path / "chatgpt-1" / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"No stage of .* is finished yet\. Go on with"):
        find_chat("chatgpt-1", tmp_path)
    with pytest.raises(CheckpointError, match="no chat model"):
        find_chat(None, tmp_path)


# What it replies


def test_the_conversation_is_told_by_the_template_turn_by_turn(recipe: Path) -> None:
    chat = start(recipe)
    out = say(chat, "Where does Ada live?", "", "   ", "And why?")
    first = expect_reply(recipe / "ppo", "Where does Ada live?")
    second = expect_reply(recipe / "ppo", "Where does Ada live?", first, "And why?")
    assert [turn.reply for turn in chat.turns] == [first, second]
    assert first in out
    assert second in out


def test_another_stage_goes_on_with_the_conversation(recipe: Path) -> None:
    chat = start(recipe, stage="sft")
    out = say(chat, "Where does Ada live?", "/stage ppo", "And why?")
    first = expect_reply(recipe / "sft", "Where does Ada live?")
    assert chat.turns[1].reply == expect_reply(recipe / "ppo", "Where does Ada live?", first, "And why?")
    assert "You talk to ppo, aligned by PPO" in out


def test_a_base_model_continues_one_line_and_that_is_said(recipe: Path) -> None:
    chat = start(recipe, stage="base")
    chat.introduce()
    assert "never taught to answer" in printed(chat)
    say(chat, "Where does", "Ada lives")
    tokenizer = chat.speakers["base"].tokenizer
    turn = chat.turns[1]
    assert list(turn.prompt_ids) == [tokenizer.end_of_text_id, *tokenizer.encode("Ada lives\n")]
    [expected] = generate(
        chat.speakers["base"].model,
        [turn.prompt_ids],
        max_new_tokens=8,
        sampling=GREEDY,
        tokenizer=tokenizer,
        stop_token_ids=[tokenizer.end_of_text_id],
        stop_strings=["\n"],
    )
    assert turn.reply == (expected.text or "").strip()
    assert turn.reply_ids == expected.ids


def test_a_single_base_run_can_be_talked_to(recipe: Path, tmp_path: Path, capsys) -> None:
    shutil.copytree(recipe / "base", tmp_path / "mine")
    assert main(["chat", str(tmp_path / "mine"), "--prompt", "Ada", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.strip()
    chat = start(tmp_path / "mine")
    chat.introduce()
    out = printed(chat)
    assert "You talk to mine, pretrained on text: it continues text" in out
    assert "Other stages" not in out


def test_the_introduction_names_stages_and_messages_that_the_world_knows(recipe: Path) -> None:
    chat = start(recipe)
    chat.introduce()
    out = printed(chat)
    assert "You talk to ppo" in out
    assert "Other stages: base, sft." in out
    cast = build_world(parse_world_spec(WORLD)).cast
    assert f"\n  {list_questions_about(cast, 'Ada')[0].text}\n" in out  # who has moved in, is asked about


def test_the_same_message_again_gets_another_reply_and_a_seed_repeats_it(recipe: Path) -> None:
    chat = start(recipe)
    say(chat, "/temperature 1", "Ada", "/new", "Ada")
    second = chat.turns[0].reply
    say(chat, "/new", "/seed 1", "Ada")
    first = chat.turns[0].reply
    assert first != second
    say(chat, "/new", "/seed 1", "Ada")
    assert chat.turns[0].reply == first


def test_a_reply_in_a_terminal_is_broken_between_words(recipe: Path, monkeypatch) -> None:
    text = "Ada lives, as every\nbody in the village knows, near\n\nthe " + "mill" * 8 + " and its wheel."

    def write(self, prompt, user, settings, *, on_text=None):
        for start_ in range(0, len(text), 3):
            on_text(text[start_ : start_ + 3])
        return Turn(user=user, reply=text, stage="ppo", prompt_ids=(1,), reply_ids=(2,), finish="end")

    monkeypatch.setattr(Speaker, "write", write)
    assert say(start(recipe, width=24, terminal=True), "Ada").splitlines() == [
        "ppo> Ada lives, as every",
        "body in the village",
        "knows, near",
        "",
        "the",
        "mill" * 8,
        "and its wheel.",
    ]
    assert say(start(recipe, width=24), "Ada") == text + "\n"  # no terminal: as it is
    text = "Ada " + "mill" * 8
    assert say(start(recipe, width=24, terminal=True), "Ada").splitlines() == ["ppo> Ada", "mill" * 8]


def test_a_mark_of_a_turn_ends_the_reply(recipe: Path) -> None:
    chat = start(recipe)
    speaker = chat.speakers["ppo"]
    with torch.no_grad():
        speaker.model.head.weight.zero_()
        for row, mark in ((1, "<|user|>"), (-1, "<|assistant|>")):
            speaker.model.head.weight[speaker.tokenizer.special_tokens[mark]] = row
    assert "without a word" in say(chat, "Ada")


def test_an_empty_reply_is_said_and_not_kept(recipe: Path) -> None:
    chat = start(recipe)
    speaker = chat.speakers["ppo"]
    say(chat, "Ada")
    with torch.no_grad():
        row = torch.zeros_like(speaker.model.head.weight)
        row[speaker._chat.end_id] = 100  # the sign of one number of the hidden state decides
        row[speaker._chat.end_id - 1] = -100
        speaker.model.head.weight.copy_(row)
    say(chat, "/undo")
    results = [say(chat, text) for text in ("Ada", "live", "trade?", "Mill", "is a", "Why", "baker.", "in")]
    empty = [out for out in results if "without a word" in out]
    assert empty
    assert all("ppo ended its turn without a word; your message is not kept" in out for out in empty)
    assert len(chat.turns) == len(results) - len(empty)


# The context


def test_old_turns_are_forgotten_and_that_is_said_once(recipe: Path) -> None:
    chat = start(recipe, length=8)
    form = chat.speakers["ppo"]._chat
    outs = [say(chat, "Where does Ada live?") for _ in range(6)]
    notes = [out for out in outs if "forgotten: the context of 96 tokens" in out]
    assert "[The oldest turn is forgotten" in notes[0]
    assert len(notes) < 6
    assert len(chat.turns) == 6  # forgotten by the model, not by us
    for number, turn in enumerate(chat.turns):
        assert len(turn.prompt_ids) + 8 <= CONTEXT
        kept = [list(turn.prompt_ids) == expected for expected in list_prompts(form, chat.turns, number)]
        assert any(kept)
        # no more was left out than must be
        first = kept.index(True)
        assert first == 0 or len(list_prompts(form, chat.turns, number)[first - 1]) + 8 > CONTEXT


def list_prompts(form: ChatFormat, turns: list[Turn], number: int) -> list[list[int]]:
    """What turn `number` may have been shown: with all turns before it, with all but the first, …"""
    prompts = []
    for start_ in range(number + 1):
        messages = []
        for turn in turns[start_:number]:
            messages += [
                {"role": "user", "content": turn.user},
                {"role": "assistant", "content": turn.reply},
            ]
        messages.append({"role": "user", "content": turns[number].user})
        prompts.append(form.encode(messages, add_generation_prompt=True).ids)
    return prompts


def test_a_message_longer_than_the_context_loses_nothing(recipe: Path) -> None:
    chat = start(recipe)
    say(chat, "Ada")
    before = list(chat.turns)
    out = say(chat, "lives " * 80, "/compare " + "lives " * 80)
    assert len(re.findall(r"This message takes \d+ tokens", out)) == 2
    assert chat.turns == before


def test_a_reply_cut_by_length_or_context_says_so(recipe: Path) -> None:
    assert "[cut after 8 tokens; /length allows more]" in say(start(recipe), "Ada")
    chat = start(recipe, length=500)
    assert "[cut: the context of 96 tokens is full]" in say(chat, "Ada")
    assert len(chat.turns[0].prompt_ids) + len(chat.turns[0].reply_ids) == CONTEXT


# Commands


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("/wy", "/wy is not a command. Did you mean /why?"),
        ("/xyz", "/xyz is not a command. /help lists the commands."),
        ("/stage pp", "Did you mean 'ppo'?"),
        ("/stage dpo", "no finished stage 'dpo' yet"),
        ("/temperature hot", "/temperature needs a number, got 'hot'."),
        ("/temperature -1", "temperature must be a number >= 0"),
        ("/length 0", "/length must be at least 1, got 0."),
        ("/seed 1", "temperature 0.0"),
        ("/why", "There is no reply to explain yet."),
        ("/compare", "There is no message to compare replies to yet."),
        ("/undo", "There is nothing to take back."),
        ("/save a.jsonl", "There is no conversation to save yet."),
        ("/help", "/compare TEXT"),
        ("//stage", "[cut after 8 tokens"),
    ],
)
def test_answers_to_commands(recipe: Path, line: str, answer: str) -> None:
    assert answer in say(start(recipe, width=200), line)


def test_help_names_every_command(recipe: Path) -> None:
    chat = start(recipe)
    text = say(chat, "/help")
    for name in (*chat._commands, *Settings.COMMANDS, "quit"):
        assert name == "help" or f"/{name}" in text


def test_stages_are_listed_and_the_one_that_talks_is_marked(recipe: Path) -> None:
    lines = say(start(recipe), "/stage").splitlines()
    assert [line.split()[0] for line in lines] == ["base", "sft", "*"]


def test_undo_and_new(recipe: Path) -> None:
    chat = start(recipe)
    say(chat, "Ada", "Mill", "/undo", "Lane")
    assert [turn.user for turn in chat.turns] == ["Ada", "Lane"]
    first = chat.turns[0].reply
    assert chat.turns[1].reply == expect_reply(recipe / "ppo", "Ada", first, "Lane")
    say(chat, "/new", "Lane")
    assert [turn.reply for turn in chat.turns] == [expect_reply(recipe / "ppo", "Lane")]


def test_a_saved_conversation_is_read_by_sft_and_none_is_overwritten(recipe: Path, tmp_path: Path) -> None:
    chat = start(recipe)
    file = tmp_path / "my talks.jsonl"
    chat._console.width = 300
    out = say(chat, "Ada", "Mill\\nLane", f"/save {file}", "/new", "live", f"/save {file}")
    assert "holds 1 conversation now" in out
    assert "holds 2 conversations now" in out
    first, second = load_conversations(file)
    assert [message["content"] for message in first.messages[::2]] == ["Ada", "Mill\nLane"]
    assert [message["role"] for message in second.messages] == ["user", "assistant"]
    assert second.messages[1]["content"] == chat.turns[0].reply


def test_saving_where_it_cannot_be_is_one_sentence_and_changes_nothing(recipe: Path, tmp_path: Path) -> None:
    chat = start(recipe, width=300)
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "image.jsonl").write_bytes(b"\x89PNG")
    out = say(chat, "Ada", "/save talk.txt", "/save", f"/save {tmp_path}/folder.jsonl")
    assert "/save needs the name of a .jsonl file, got 'talk.txt'." in out
    assert "/save needs the name of a .jsonl file, got ''." in out
    assert "Could not write" in out
    assert "is not a text file" in say(chat, f"/save {tmp_path}/image.jsonl")
    assert (tmp_path / "image.jsonl").read_bytes() == b"\x89PNG"
    assert len(chat.turns) == 1
    with pytest.raises(DataError):
        append_conversation(tmp_path / "image.jsonl", [])


def test_a_line_break_is_added_where_a_file_lacks_its_last(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"messages": []}')
    assert append_conversation(file, [{"role": "user", "content": "é"}]) == 2
    assert (
        file.read_text(encoding="utf-8").splitlines()[1] == '{"messages": [{"role": "user", "content": "é"}]}'
    )


# /compare


def test_compare_asks_every_stage_the_same_and_changes_nothing(recipe: Path) -> None:
    chat = start(recipe, width=60)
    say(chat, "Ada lives")
    before = list(chat.turns)
    flat = "".join(say(chat, "/compare And why?").split())
    for stage in ("sft", "ppo"):
        reply = expect_reply(recipe / stage, "Ada lives", before[0].reply, "And why?")
        assert stage + "".join(reply.split()) in flat
    assert "base" in flat
    assert "gold" not in flat  # no task of the world
    assert flat.count("rewardmodel") == 3
    assert chat.turns == before


def test_compare_without_text_takes_the_last_message(recipe: Path) -> None:
    chat = start(recipe, width=60)
    out = say(chat, "Where does Ada live?", "/compare")
    assert "you> Where does Ada live?" in out
    assert "ppo" + "".join(chat.turns[0].reply.split()) in "".join(out.partition("sft")[2].split())
    assert out.count("gold 0.00: ") == 3  # a question of the world, and random models


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_the_compare_table_fits_and_shows_all(width: int) -> None:
    words = {name: " ".join(f"{name}{i}" for i in range(30)) for name in ("base", "sft", "ppo", "dpo")}
    turns = [
        Turn(user="Hi", reply=words[name], stage=name, prompt_ids=(1,), reply_ids=(2,), finish="end")
        for name in words
    ]
    judgements = [Judgement(gold=0.5, parts={"right": 0.0}, reward=-1.25)] * 4
    console = Console(file=io.StringIO(), width=width)
    console.print(build_compare_table(list(zip(turns, judgements, strict=True)), width=width))
    out = console.file.getvalue()
    assert all(cell_len(line) <= width for line in out.splitlines())
    for name in words:
        assert all(f"{name}{i}" in out for i in range(30))
    assert out.count("model -1.25") == 4
    beside = any("base0" in line and "dpo0" in line for line in out.splitlines())
    assert beside == (width >= 120)


def test_a_reply_s_worth_is_gold_in_words_and_the_reward_model_s_score(recipe: Path) -> None:
    judge = Judge(open_folder(recipe), torch.device("cpu"))
    question = list_questions_about(build_world(parse_world_spec(WORLD)).cast, "Ada")[0]
    messages = [{"role": "user", "content": question.text}]
    right = judge.judge(messages, question.full + ".")
    assert right.gold == 1
    assert describe_judgement(right)[0] == "gold 1.00: nothing is missing"
    wrong = judge.judge(messages, "Colourless ideas.")
    assert wrong.gold == 0
    assert "the answer is not right" in describe_judgement(wrong)[0]
    assert judge.judge([{"role": "user", "content": "xyz"}], "Yes.").gold is None
    model, form = judge._reward_model
    ids = form.encode([*messages, {"role": "assistant", "content": "Colourless ideas."}]).ids
    assert wrong.reward == pytest.approx(model.compute_values(torch.tensor([ids]))[0, -1].item(), abs=1e-6)


def test_a_run_outside_a_recipe_has_no_gold_and_no_reward(recipe: Path, tmp_path: Path) -> None:
    shutil.copytree(recipe / "sft", tmp_path / "mine")
    judgement = Judge(open_folder(tmp_path / "mine"), torch.device("cpu")).judge(
        [{"role": "user", "content": "Where does Ada live?"}], "In Mill Lane."
    )
    assert judgement == Judgement()
    assert describe_judgement(judgement) == []


def test_a_world_that_cannot_be_built_any_more_costs_the_gold_score_alone(recipe: Path) -> None:
    source = dataclasses.replace(open_folder(recipe), corpus="microworld:people=3")
    judge = Judge(source, torch.device("cpu"))
    judgement = judge.judge([{"role": "user", "content": "Where does Ada live?"}], "In Mill Lane.")
    assert judgement.gold is None
    assert judgement.reward is not None
    assert judge.suggest() == []


# /why


def test_why_gives_the_model_s_own_probabilities(recipe: Path) -> None:
    chat = start(recipe)
    say(chat, "/temperature 1.5", "Ada")
    turn, speaker = chat.turns[0], chat.speakers["ppo"]
    [expected] = generate(
        speaker.model,
        [turn.prompt_ids],
        max_new_tokens=8,
        sampling=SamplingConfig(temperature=1.5),
        stop_token_ids=list(speaker.tokenizer.special_tokens.values()),
        seed=1,
    )
    assert expected.ids == turn.reply_ids
    choices = speaker.explain(turn)
    probabilities = [choice.probability for choice in choices]
    assert probabilities == pytest.approx([math.exp(logprob) for logprob in expected.logprobs], rel=1e-4)
    for choice in choices:
        others = [probability for _, probability in choice.others]
        assert len(others) == 5
        assert others == sorted(others, reverse=True)
        assert choice.token not in dict(choice.others)
    best = [choice.probability >= choice.others[0][1] for choice in choices]
    assert f"ppo wrote {len(choices)} tokens, {sum(best)} the most probable one" in say(chat, "/why")


def test_why_explains_the_stage_that_replied(recipe: Path) -> None:
    chat = start(recipe, stage="sft")
    out = say(chat, "Ada", "/stage base", "/why")
    assert "sft wrote 8 tokens" in out
    assert "reward model" in out


def test_the_why_table_has_a_row_a_token_and_marks_what_was_not_the_best() -> None:
    tokenizer = train_tokenizer("char", ["abcdefg"])
    ids = dict(zip("abcdefg", tokenizer.encode("abcdefg"), strict=True))
    others = tuple((ids[c], p) for c, p in zip("bcdef", (0.5, 0.2, 0.1, 0.05, 0.00001), strict=True))
    choices = [TokenChoice(ids["a"], 0.1234, others), TokenChoice(ids["g"], 0.999, ((ids["a"], 0.0002),))]
    console = Console(file=io.StringIO(), width=60, force_terminal=True, color_system="standard")
    console.print(build_why_table(choices, tokenizer, width=60))
    out = console.file.getvalue()
    assert "\x1b[33mb 50%" in out  # yellow: more probable than what was chosen
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out).splitlines()
    assert plain[1].split() == ["a", "12%", "b", "50%", "c", "20%", "d", "10%", "e", "5.0%"]
    assert plain[2].split() == ["g", ">99%", "a", "0.02%"]


def test_tokens_are_shown_so_that_a_terminal_obeys_none() -> None:
    tokenizer = train_tokenizer("bpe", ["Ada lives in Mill Lane.\n"] * 3, vocab_size=262)
    assert show_token(tokenizer, tokenizer.encode("\x1b")[0]) == "\\x1b"
    assert show_token(tokenizer, tokenizer.encode("\n")[0]) == "\\n"
    assert show_token(tokenizer, tokenizer.encode("é")[0]) == "\\xc3"  # half a character
    assert show_token(tokenizer, tokenizer.end_of_text_id) == "<|endoftext|>"
    ada = tokenizer.encode(" Ada")
    assert "".join(show_token(tokenizer, i) for i in ada) == "·Ada"
    assert "".join(show_token(tokenizer, i, "ascii") for i in ada) == "_Ada"


def test_escape_sequences_in_a_reply_reach_no_terminal(recipe: Path, monkeypatch) -> None:
    chat = start(recipe, terminal=True)

    def write(self, prompt, user, settings, *, on_text=None):
        if on_text is not None:
            on_text("a\x1b[2Jb \x9b c")
        return Turn(user=user, reply="a\x1b[2Jb", stage="ppo", prompt_ids=(1,), reply_ids=(2,), finish="end")

    monkeypatch.setattr(Speaker, "write", write)
    out = say(chat, "Ada", "/compare")
    assert "\x9b" not in out
    assert "\x1b[2J" not in out
    assert "a�[2Jb" in out


# Ctrl-C, pipes, terminals


def interrupt_after(monkeypatch: pytest.MonkeyPatch, num_calls: int) -> None:
    """As if Ctrl-C was pressed in the model's n-th step from now."""
    calls = 0
    compute_logits = GPT.compute_logits

    def interrupted(self, *args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == num_calls:
            raise KeyboardInterrupt
        return compute_logits(self, *args, **kwargs)

    monkeypatch.setattr(GPT, "compute_logits", interrupted)


def test_ctrl_c_stops_the_reply_and_keeps_what_was_written(recipe: Path, monkeypatch) -> None:
    whole = expect_reply(recipe / "ppo", "Ada")
    chat = start(recipe)
    interrupt_after(monkeypatch, 6)
    out = say(chat, "Ada", "/why", "Mill")
    assert "[stopped]" in out
    assert chat.turns[0].reply
    assert whole.startswith(chat.turns[0].reply)
    assert chat.turns[0].finish == "stopped"
    assert "ppo wrote" in out
    assert len(chat.turns) == 2


def test_ctrl_c_before_the_first_word_takes_the_message_back(recipe: Path, monkeypatch) -> None:
    chat = start(recipe)
    interrupt_after(monkeypatch, 1)
    assert "[stopped; your message is not kept]" in say(chat, "Ada")
    assert chat.turns == []


def test_ctrl_c_stops_a_comparison_not_the_talk(recipe: Path, monkeypatch) -> None:
    chat = start(recipe)
    interrupt_after(monkeypatch, 3)
    out = say(chat, "/compare Ada", "Ada")
    assert "[stopped]" in out
    assert len(chat.turns) == 1


def pipe(monkeypatch, capsys, text: str, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    options = ["--temperature", "0", "--max-new-tokens", "8", "--device", "cpu"]
    code = main(["chat", *arguments, *options])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_pipe_gets_replies_alone(recipe: Path, monkeypatch, capsys) -> None:
    code, out, err = pipe(monkeypatch, capsys, "Ada\n\nMill\n")
    first = expect_reply(recipe / "ppo", "Ada")
    second = expect_reply(recipe / "ppo", "Ada", first, "Mill")
    assert (code, [line.strip() for line in out.rstrip("\n").split("\n")]) == (0, [first, second])
    assert "[cut after 8 tokens" in err


def test_a_pipe_s_mistakes_go_to_stderr_and_the_rest_is_answered(recipe: Path, monkeypatch, capsys) -> None:
    code, out, err = pipe(monkeypatch, capsys, "/wy\nAda\n/quit\nMill\n", "chatgpt-1", "--stage", "sft")
    assert (code, out.strip()) == (2, expect_reply(recipe / "sft", "Ada"))
    assert "error: /wy is not a command. Did you mean /why?" in err


def test_ctrl_c_in_a_pipe_ends_the_program(recipe: Path, monkeypatch, capsys) -> None:
    interrupt_after(monkeypatch, 3)
    code, _, err = pipe(monkeypatch, capsys, "Ada\nMill\n")
    assert code == 130
    assert "Stopped." in err


def test_one_prompt_is_answered_alone(recipe: Path, monkeypatch, capsys) -> None:
    code, out, _ = pipe(monkeypatch, capsys, "", "chatgpt-1", "--prompt", "Ada")
    assert (code, out.strip()) == (0, expect_reply(recipe / "ppo", "Ada"))


def test_open_chat_talks_to_a_stage_until_the_input_ends(recipe: Path, monkeypatch) -> None:
    lines = iter(["Ada"])

    def read(prompt: str) -> str:
        assert prompt == "you> "
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", read)
    console = Console(file=io.StringIO(), width=100)
    open_chat(recipe, console, stage="sft")
    assert "You talk to sft" in console.file.getvalue()
    with pytest.raises(ConfigError, match="no stage 'nobody'"):
        open_chat(recipe, console, stage="nobody")


def test_help_and_mistakes_answer_without_importing_torch(tmp_path: Path) -> None:
    script = (
        "import sys; from nn2llm.cli.chat import main; from nn2llm.core.errors import Nn2llmError\n"
        "for argv in ([], ['nothing'], ['--max-new-tokens', '0']):\n"
        "    try: main(argv); raise AssertionError(argv)\n"
        "    except Nn2llmError: pass\n"
        "try: main(['--help'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "assert 'torch' not in sys.modules"
    )
    environment = os.environ | {"NN2LLM_RUNS": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--max-new-tokens" in done.stdout


_ON_A_TERMINAL = """
import sys, threading
from nn2llm.models.gpt import GPT
compute_logits = GPT.compute_logits
def stuck(self, *args, **kwargs):
    GPT.compute_logits = compute_logits
    print("STUCK", flush=True)
    threading.Event().wait()  # until Ctrl-C
GPT.compute_logits = stuck
from nn2llm.cli.chat import main
sys.exit(main(["chatgpt-1", "--temperature", "0", "--max-new-tokens", "8", "--device", "cpu"]))
"""


@pytest.mark.skipif(os.name == "nt", reason="a pseudo-terminal is a thing of POSIX")
def test_on_a_terminal_with_real_keys(recipe: Path) -> None:
    import pty

    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _ON_A_TERMINAL],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
        preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
        env=os.environ | {"TERM": "xterm", "COLUMNS": "80"},
    )
    os.close(follower)
    stop = threading.Timer(120, process.kill)  # a test that hangs ends with what it saw
    stop.start()
    seen = ""

    def wait_for(pattern: str, *, repeat: bytes | None = None) -> None:
        nonlocal seen
        while not re.search(pattern, seen):
            if not select.select([leader], [], [], None if repeat is None else 2.0)[0]:
                os.write(leader, repeat)
                continue
            try:
                data = os.read(leader, 4096)
            except OSError:  # Linux: the other side has gone
                data = b""
            assert data, f"{pattern!r} did not come, exit code {process.wait()}: {seen!r}"
            seen += data.decode(errors="replace")
        seen = seen[re.search(pattern, seen).end() :]

    try:
        wait_for(r"/help lists the commands(?s:.)*you> ")
        os.write(leader, b"Ada\n")
        wait_for(r"ppo> (?s:.)*STUCK")
        os.write(leader, b"\x03")
        wait_for(r"\[stopped(?s:.)*you> ")
        os.write(leader, b"\x03")
        # CPython looks at a signal only once its wait for a key is interrupted: one that comes between the
        # prompt and that wait stays unseen until the next key
        wait_for(r"Ctrl-D or /quit leaves(?s:.)*you> ", repeat=b"\x03")
        os.write(leader, b"Mill\n")
        wait_for(r"ppo> (?s:.)*\[cut after 8 tokens(?s:.)*you> ")
        os.write(leader, b"/undo\n")
        wait_for(r"Taken back: Mill(?s:.)*you> ")
        os.write(leader, b"\x04")
        assert process.wait() == 0
    finally:
        stop.cancel()
        process.kill()
        process.wait()
        os.close(leader)
