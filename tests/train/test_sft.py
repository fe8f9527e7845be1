"""Supervised fine-tuning: only replies are learnt, each token counts the same, a stopped run goes on."""

import json
import os
import random
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from rich.console import Console
from torch.testing import assert_close

from nn2llm.core.config_io import load_config
from nn2llm.core.device import choose_precision
from nn2llm.core.errors import CheckpointError, ConfigError, DataError, Nn2llmError, TrainingError
from nn2llm.core.run_folder import RunFolder
from nn2llm.data.chat_batches import ChatRows
from nn2llm.data.conversations import Conversation
from nn2llm.generation.replies import write_replies
from nn2llm.generation.sampling import SamplingConfig
from nn2llm.models.gpt import GPT
from nn2llm.optim.combined import OptimizerConfig
from nn2llm.tokenizers import Tokenizer
from nn2llm.tokenizers.chat import ChatFormat, Message
from nn2llm.train.checkpoint import list_checkpoints, load_trained_model, save_checkpoint, verify_checkpoint
from nn2llm.train.session import Machine, MachineConfig
from nn2llm.train.sft import FineTuner, add_chat_tokens, finetune
from nn2llm.train.sft_config import SFTConfig
from tests.models.hf_cases import build_bpe, build_ours
from tests.train.conftest import count_lines, wait_until

CPU = MachineConfig(device="cpu", num_threads=1)
MACHINE = Machine(torch.device("cpu"), choose_precision(torch.device("cpu"), "fp32"))
SILENT = Console(quiet=True)
WORDS = ["hello", "there", "the", "other", "weather", "her", "123", "hell"]


def talk(*texts: str) -> Conversation:
    roles = ("user", "assistant")
    return Conversation(tuple(Message(role=roles[i % 2], content=text) for i, text in enumerate(texts)))


def draw_conversations(number: int, *, seed: int = 1) -> list[Conversation]:
    """One to three turns of one to six words."""
    draw = random.Random(seed)

    def say() -> str:
        return " ".join(draw.choices(WORDS, k=draw.randrange(1, 7)))

    return [talk(*(say() for _ in range(2 * draw.randrange(1, 4)))) for _ in range(number)]


def write_parent(path: Path, model: GPT, tokenizer: Tokenizer) -> Path:
    """A run as `nn2llm pretrain` leaves it."""
    run = RunFolder(path)
    save_checkpoint(
        run,
        step=1,
        model_config=model.config,
        weights=model.state_dict(),
        training_state={},
        best_step=1,
        keep=1,
    )
    tokenizer.save(run.tokenizer_path)
    run.metrics_path.write_text('{"step": 1}\n')
    run.config_path.write_text("{}")
    return path


def build_parent(name: str = "qwen3", **changes: Any) -> tuple[GPT, Tokenizer]:
    tokenizer = build_bpe()
    return build_ours(name, vocab_size=tokenizer.vocab_size, max_seq_len=64, **changes), tokenizer


@pytest.fixture(scope="module")
def parent(tmp_path_factory) -> Path:
    return write_parent(tmp_path_factory.mktemp("parent") / "base", *build_parent(dropout=0.1))


def build_config(parent: Path, **changes: Any) -> SFTConfig:
    return SFTConfig(
        **{"init_from": str(parent), "machine": CPU, "batch_size": 4, "steps": 12, "eval_every": 5, **changes}
    )


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Without what was measured."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: value for name, value in record.items() if name != "seconds"} for record in records]


def read_run(path: Path) -> tuple[Any, ...]:
    """All that must be equal between equal runs."""
    model, tokenizer = load_trained_model(path)
    weights = {name: tensor.tolist() for name, tensor in model.state_dict().items()}
    return (
        read_lines(path / "metrics.jsonl"),
        read_lines(path / "samples.jsonl"),
        weights,
        tokenizer.fingerprint(),
    )


# --- the gradient -------------------------------------------------------------------------------------------


def compute_gradients(
    model: GPT, chat: ChatFormat, conversations: list[Conversation], **settings: Any
) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradient of all conversations as one step."""
    packed = settings.pop("packed", True)
    chats = [chat.encode(one.messages) for one in conversations]
    rows = ChatRows(chats, seq_len=64, pad_id=chat.tokenizer.end_of_text_id, packed=packed)
    trainer = FineTuner(SFTConfig(steps=1, **settings), model, MACHINE, rows, None)
    model.eval()
    model.zero_grad()
    loss, num_labels = trainer.compute_gradients(rows.build_batch(range(len(rows))))
    assert num_labels == rows.num_labels
    return loss.item(), {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


@pytest.fixture(scope="module")
def talker() -> tuple[GPT, ChatFormat]:
    model, tokenizer = add_chat_tokens(*build_parent())
    return model, ChatFormat(tokenizer)


def test_the_loss_is_that_of_each_reply_token_alone(talker):
    """Token by token, from the logits of each conversation by itself."""
    model, chat = talker
    conversations = draw_conversations(4)
    nats = []
    for conversation in conversations:
        messages = conversation.messages
        for number, message in enumerate(messages):
            if message["role"] == "assistant":
                ids = chat.encode(messages[:number], add_generation_prompt=True).ids
                for token_id in chat.encode_reply(message["content"]):
                    logits = model(torch.tensor([ids])).logits[0, -1]
                    nats.append(-F.log_softmax(logits, dim=-1)[token_id].item())
                    ids.append(token_id)
    loss, _ = compute_gradients(model, chat, conversations)
    assert loss == pytest.approx(sum(nats) / len(nats), abs=1e-5)


@pytest.mark.parametrize("template", ["chat", "plain"])
def test_packed_rows_give_the_loss_and_gradient_of_single_ones(template):
    model, tokenizer = build_parent()
    if template == "chat":
        model, tokenizer = add_chat_tokens(model, tokenizer)
    chat = ChatFormat(tokenizer)
    conversations = draw_conversations(24)
    loss, gradients = compute_gradients(model, chat, conversations, packed=True)
    alone_loss, alone = compute_gradients(model, chat, conversations, packed=False)
    assert loss == pytest.approx(alone_loss, abs=1e-5)
    assert gradients.keys() == alone.keys()
    assert_close(gradients, alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("packed", [True, False])
def test_micro_batches_give_the_gradient_of_one(talker, packed):
    conversations = draw_conversations(10)
    loss, gradients = compute_gradients(*talker, conversations, packed=packed)
    for size in (1, 3):
        parts_loss, parts = compute_gradients(*talker, conversations, packed=packed, micro_batch_size=size)
        assert parts_loss == pytest.approx(loss, abs=1e-5)
        assert_close(parts, gradients, rtol=0, atol=1e-6)


def test_what_users_say_is_not_learnt_but_read(talker):
    """Other words of the user change the loss only through what the model reads."""
    model, chat = talker
    _, gradients = compute_gradients(model, chat, [talk("hello", "there")])
    head = gradients["head.weight"].abs().sum(dim=1)
    asked = set(chat.encode_reply("there"))
    # a token that is not asked for only loses probability; one that is asked for gains more
    model_rows = head.argsort(descending=True)[: len(asked)].tolist()
    assert set(model_rows) == asked


# --- runs ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def learnt(tmp_path_factory) -> tuple[RunFolder, list[Conversation], Any]:
    """A run that learns four answers by heart."""
    folder = tmp_path_factory.mktemp("learnt")
    conversations = [
        talk("hello there", "the other weather"),
        talk("the other", "hello 123", "there", "hell"),
        talk("her", "123 123"),
        talk("weather", "hello hello"),
    ]
    write_parent(folder / "base", *build_parent())
    config = build_config(folder / "base", steps=60, eval_every=60)
    config = replace(config, optimizer=OptimizerConfig(muon_lr=0.1, adamw_lr=0.02))
    result = finetune(
        config,
        RunFolder(folder / "sft"),
        conversations=conversations,
        val_conversations=conversations,
        console=SILENT,
    )
    return RunFolder(folder / "sft"), conversations, result


def test_it_learns_to_answer(learnt):
    run, conversations, result = learnt
    model, tokenizer = load_trained_model(run.path)
    chat = ChatFormat(tokenizer)
    assert tokenizer.special_tokens.keys() >= {"<|user|>", "<|assistant|>", "<|end|>"}
    prompts = [one.messages[:-1] for one in conversations]
    replies = write_replies(model, chat, prompts, max_new_tokens=20, sampling=SamplingConfig(temperature=0))
    assert [reply.text for reply in replies] == [one.messages[-1]["content"] for one in conversations]
    assert all(reply.finished for reply in replies)
    assert result.metrics["val_loss"] < 0.05 < 3 < result.metrics["val_loss_before"]


def test_what_a_run_leaves_behind(learnt):
    run, conversations, result = learnt
    assert (result.run.path, result.step, result.interrupted) == (run.path, 60, False)
    records = read_lines(run.metrics_path)
    assert [record["step"] for record in records] == list(range(1, 61))
    assert {"loss", "lr", "grad_norm", "tokens", "reply_tokens", "epoch"} <= records[0].keys()
    assert records[-1]["tokens"] == result.num_tokens == 60 * 4 * 64
    assert records[-1]["val_loss"] == result.metrics["val_loss"]
    assert records[0]["reply_tokens"] >= records[-1]["reply_tokens"] > 0
    config = load_config(SFTConfig, run.config_path)
    assert (config.steps, config.machine.device, config.machine.precision) == (60, "cpu", "fp32")
    samples = read_lines(run.samples_path)
    assert [sample["messages"] for sample in samples] == [[one.messages[0]] for one in conversations[:2]]
    assert [sample["text"] for sample in samples] == [sample["expected"] for sample in samples]
    assert [step for step, _ in list_checkpoints(run)] == [60]


def test_epochs_become_steps(parent, tmp_path):
    config = build_config(parent, steps=None, epochs=1.5, batch_size=2)
    result = finetune(config, RunFolder(tmp_path / "a"), conversations=draw_conversations(40), console=SILENT)
    last = read_lines(tmp_path / "a" / "metrics.jsonl")[-1]
    assert result.step == last["step"] > 5
    assert 1.5 <= last["epoch"] <= 1.6


@pytest.mark.parametrize("name", ["gpt2", "qwen3"])
def test_without_chat_tokens_conversations_are_plain_text(name, tmp_path):
    """And a model with learned positions gets one conversation a row."""
    write_parent(tmp_path / "base", *build_parent(name))
    config = build_config(tmp_path / "base", add_chat_tokens=False, steps=2, num_samples=0)
    finetune(config, RunFolder(tmp_path / "a"), conversations=draw_conversations(20), console=SILENT)
    model, tokenizer = load_trained_model(tmp_path / "a")
    assert list(tokenizer.special_tokens) == ["<|endoftext|>"]
    assert model.config.vocab_size == 280
    tokens = read_lines(tmp_path / "a" / "metrics.jsonl")[0]["tokens"]
    assert (tokens == 4 * 64) == (name == "qwen3")


def test_held_out_conversations_come_from_a_file_a_fraction_or_nowhere(parent, tmp_path):
    conversations = draw_conversations(30)
    rows = [{"messages": list(one.messages)} for one in conversations]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, [*rows, {"messages": []}])))
    (tmp_path / "val.json").write_text(json.dumps(rows[:7]))
    config = build_config(parent, steps=1, data="train.jsonl", skip_unusable=True, seq_len=48)
    said = {}
    for name, changes in {
        "file": {"val_data": "val.json"},
        "fraction": {"val_fraction": 0.1},
        "nowhere": {"val_fraction": 0.0},
    }.items():
        console = Console(record=True, width=300, file=open(os.devnull, "w"))  # noqa: SIM115
        result = finetune(replace(config, **changes), RunFolder(tmp_path / name), console=console)
        said[name] = console.export_text()
        assert ("val_loss" in result.metrics) == (name != "nowhere")
    first = "1 of 31 conversations left out; the first: train.jsonl, line 31: A conversation needs at least"
    cut = "2 of 30 conversations are longer than 48 tokens: 0 are left out, 2 end at an earlier reply."
    assert first in said["file"]
    assert cut in said["file"]
    for name, number, held_out in [("file", 30, "7"), ("fraction", 27, "3"), ("nowhere", 30, "none")]:
        assert f"parameters, {number} conversations (" in said[name]
        assert f" reply tokens; {held_out} held out)" in said[name]


# --- stopped and taken up -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference(parent, tmp_path_factory) -> Path:
    """The run that never stopped."""
    path = tmp_path_factory.mktemp("reference") / "run"
    finetune(
        build_config(parent, checkpoint_every=3),
        RunFolder(path),
        conversations=draw_conversations(40),
        console=SILENT,
    )
    return path


class Crash(BaseException):
    """Like a power cut: nothing of ours runs any more."""


@pytest.mark.parametrize("crashes", [(1,), (2, 4, 5), (5, 11, 12)])
def test_a_run_that_crashed_ends_like_one_that_never_stopped(
    parent, tmp_path, reference, monkeypatch, crashes
):
    run, config = RunFolder(tmp_path / "run"), build_config(parent, checkpoint_every=3)
    train_step = FineTuner.train_step
    for crash in crashes:

        def step_or_crash(trainer: FineTuner, crash: int = crash) -> dict[str, Any]:
            if trainer.step + 1 == crash:
                raise Crash
            return train_step(trainer)

        with monkeypatch.context() as patch:
            patch.setattr(FineTuner, "train_step", step_or_crash)
            with pytest.raises(Crash):
                finetune(config, run, conversations=draw_conversations(40), resume=True, console=SILENT)
    result = finetune(config, run, conversations=draw_conversations(40), resume=True, console=SILENT)
    assert read_run(run.path) == read_run(reference)
    whole = read_lines(reference / "metrics.jsonl")[-1]
    assert (result.num_tokens, result.metrics["val_loss"]) == (whole["tokens"], whole["val_loss"])
    assert "val_loss_before" in result.metrics


def test_a_signal_saves_and_another_session_goes_on(parent, tmp_path, reference, monkeypatch):
    run, config = RunFolder(tmp_path / "run"), build_config(parent, checkpoint_every=3)
    train_step = FineTuner.train_step

    def step_and_signal(trainer: FineTuner) -> dict[str, Any]:
        if trainer.step == 6:
            os.kill(os.getpid(), signal.SIGINT)
        return train_step(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(FineTuner, "train_step", step_and_signal)
        result = finetune(config, run, conversations=draw_conversations(40), console=SILENT)
    assert (result.step, result.total_steps, result.interrupted) == (7, 12, True)
    finetune(config, run, conversations=draw_conversations(40), resume=True, console=SILENT)
    assert read_run(run.path) == read_run(reference)


def test_a_finished_run_says_so_and_changes_nothing(learnt):
    run, conversations, result = learnt
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    console = Console(record=True, width=300, file=open(os.devnull, "w"))  # noqa: SIM115
    again = finetune(
        SFTConfig(),
        run,
        conversations=conversations,
        val_conversations=conversations,
        resume=True,
        console=console,
    )
    assert replace(again, run=result.run) == result
    assert f"{run.path} is finished: it ended at step 60 of 60." in console.export_text()
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


def test_other_conversations_cannot_go_on_with_a_run(learnt):
    run, conversations, _ = learnt
    with pytest.raises(CheckpointError, match="The data position was saved with"):
        finetune(SFTConfig(), run, conversations=conversations[:3], resume=True, console=SILENT)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills POSIX processes")
def test_a_killed_command_ends_like_one_that_never_stopped(start, parent, tmp_path):
    """`nn2llm sft`, killed at random moments, some of them while a checkpoint is written."""
    rows = [{"messages": list(one.messages)} for one in draw_conversations(40)]
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    flags = ["--init-from", parent, "--data", "data.jsonl", "--machine.num-threads", "1", "--device", "cpu"]
    flags += ["--batch-size", "4", "--steps", "60", "--eval-every", "15", "--checkpoint-every", "2"]
    assert start("sft", *flags, "--out", "whole").wait() == 0
    draw, hits = random.Random(1), 0
    for _ in range(3):
        command = start("sft", *flags, "--out", "killed", "--resume")
        first = count_lines(tmp_path / "killed" / "metrics.jsonl")
        goal = first + draw.randrange(1, 15)
        wait_until(lambda goal=goal: count_lines(tmp_path / "killed" / "metrics.jsonl") >= goal, command)
        command.signal(signal.SIGKILL)
        hits += command.wait() == -signal.SIGKILL
        for _, path in list_checkpoints(RunFolder(tmp_path / "killed")):
            verify_checkpoint(path)
    assert hits
    assert start("sft", *flags, "--out", "killed", "--resume").wait() == 0
    assert read_run(tmp_path / "killed") == read_run(tmp_path / "whole")


# --- what cannot work ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0."),
        ({"eval_every": 0}, "eval_every must be at least 1, got 0."),
        ({"steps": 0}, "steps must be at least 1, got 0."),
        ({"micro_batch_size": -1}, "micro_batch_size must be at least 1, got -1."),
        ({"num_samples": -1}, "num_samples must be at least 0, got -1."),
        ({"epochs": 0.0}, "epochs must be positive, got 0.0."),
        ({"epochs": float("nan")}, "epochs must be positive, got nan."),
        ({"val_fraction": 1.0}, "val_fraction must be in [0, 1), got 1.0."),
        ({"max_grad_norm": 0.0}, "max_grad_norm must be positive, got 0.0."),
        ({"seed": -1}, "seed must be between 0 and 4294967295, got -1."),
        ({"init_from": ""}, "init_from is missing: which model is to be fine-tuned?"),
        ({"init_from": "nobody"}, "There is no run 'nobody'"),
        ({"seq_len": 65}, "seq_len 65 is longer than the 64 positions of the model. Set --seq-len 64."),
        ({"seq_len": 3}, "None of the 38 conversations has a reply that ends within 3 tokens."),
        ({"machine": MachineConfig(device="cuda:99")}, "Device 'cuda:99' is not available."),
    ],
)
def test_a_setting_that_cannot_work_is_one_sentence(parent, tmp_path, changes, words):
    with pytest.raises(Nn2llmError) as raised:
        finetune(
            build_config(parent, **changes),
            RunFolder(tmp_path / "run"),
            conversations=draw_conversations(40),
            console=SILENT,
        )
    assert words in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_conversations_that_cannot_work_are_one_sentence(parent, tmp_path):
    run, config = RunFolder(tmp_path / "run"), build_config(parent)
    good = draw_conversations(3)
    with pytest.raises(ConfigError, match="data is missing: what is to be learnt"):
        finetune(config, run, console=SILENT)
    for bad, words in [
        (talk("hello"), "Conversation 4: The conversation has no reply of the assistant"),
        (talk("hello", ""), "Conversation 4: Message 2 is an empty reply."),
    ]:
        with pytest.raises(DataError) as raised:
            finetune(replace(config, val_fraction=0.0), run, conversations=[*good, bad], console=SILENT)
        assert words in str(raised.value)
    with pytest.raises(DataError, match="none is left to train on"):
        finetune(config, run, conversations=good[:1], console=SILENT)
    assert not run.path.exists()


def test_a_run_is_not_overwritten(learnt):
    run, conversations, _ = learnt
    with pytest.raises(ConfigError, match="already holds a run"):
        finetune(SFTConfig(), run, conversations=conversations, console=SILENT)


def test_a_loss_that_is_no_number_ends_the_run(parent, tmp_path):
    config = build_config(parent, steps=20, max_grad_norm=None)
    config = replace(config, optimizer=replace(config.optimizer, muon_lr=1e30, adamw_lr=1e30))
    with pytest.raises(TrainingError, match=r"--optimizer\.muon-lr"):
        finetune(config, RunFolder(tmp_path / "a"), conversations=draw_conversations(40), console=SILENT)
