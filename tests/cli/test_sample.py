"""`nn2llm sample` and the talk: what they write, and what they answer to mistakes."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console

from nn2llm.cli.main import main
from nn2llm.cli.talk import few_threads, printable, talk
from nn2llm.core.errors import ConfigError
from nn2llm.core.run_folder import RunFolder
from nn2llm.generation.engine import generate
from nn2llm.generation.sampling import SamplingConfig
from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.tokenizers import train_tokenizer
from nn2llm.train.checkpoint import save_checkpoint

TEXT = "To be, or not to be: that is the question.\n"
GREEDY = SamplingConfig(temperature=0.0)


@pytest.fixture(scope="module")
def model():
    """A small model with random weights that knows the characters of TEXT."""
    torch.manual_seed(0)
    config = GPTConfig(
        vocab_size=train_tokenizer("char", [TEXT]).vocab_size, max_seq_len=16, n_layer=1, n_head=2, n_embd=16
    )
    model = GPT(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
        model.head.weight[train_tokenizer("char", [TEXT]).end_of_text_id] = 0  # it seldom ends a text
    return model.eval()


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer("char", [TEXT])


@pytest.fixture
def run(model, tokenizer, tmp_path, monkeypatch) -> Path:
    """A run folder with that model, as training leaves it."""
    monkeypatch.setenv("NN2LLM_RUNS", str(tmp_path))
    folder = RunFolder(tmp_path / "hamlet")
    folder.path.mkdir()
    folder.config_path.write_text('{"steps": 1}')
    folder.metrics_path.write_text('{"step": 1, "loss": 3.0}\n')
    tokenizer.save(folder.tokenizer_path)
    save_checkpoint(
        folder,
        step=1,
        model_config=model.config,
        weights=model.state_dict(),
        training_state={},
        best_step=1,
        keep=1,
    )
    return folder.path


def sample(*argv: str) -> int:
    return main(["sample", *argv, "--device", "cpu"])


# The command


def test_one_sample_is_the_prompt_and_its_continuation_alone_on_stdout(run, model, tokenizer, capsys):
    assert sample("hamlet", "--prompt", "To be", "--max-new-tokens", "30", "--temperature", "0") == 0
    captured = capsys.readouterr()
    [expected] = generate(
        model,
        [tokenizer.encode("To be")],
        max_new_tokens=30,
        sampling=GREEDY,
        tokenizer=tokenizer,
        stop_token_ids=[tokenizer.end_of_text_id],
        on_full="slide",
    )
    assert expected.num_slides > 0  # 35 characters do not fit in a context of 16
    assert captured.out == f"To be{expected.text}\n"
    assert captured.err.startswith(f"{len(expected.ids)} tokens in ")


def test_several_samples_differ_and_a_seed_repeats_them(run, capsys):
    asked = ["hamlet", "--prompt", "To", "--max-new-tokens", "20", "--num-samples", "3"]
    outputs = []
    for seed in ("1", "1", "2"):
        assert sample(*asked, "--seed", seed) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] != outputs[2]
    samples = outputs[0].split("--- sample ")[1:]
    assert [text.partition(" ")[0] for text in samples] == ["1", "2", "3"]
    texts = [text.partition("---\n")[2] for text in samples]
    assert all(text.startswith("To") for text in texts)
    assert len(set(texts)) == 3


def test_without_prompt_and_terminal_it_writes_from_the_start_token(run, model, tokenizer, capsys):
    assert sample(str(run), "--max-new-tokens", "10", "--temperature", "0", "--on-full", "stop") == 0
    [expected] = generate(
        model,
        [[tokenizer.end_of_text_id]],
        max_new_tokens=10,
        sampling=GREEDY,
        tokenizer=tokenizer,
        stop_token_ids=[tokenizer.end_of_text_id],
    )
    assert capsys.readouterr().out == f"{expected.text}\n"


def test_a_full_context_stops_where_asked(run, capsys):
    arguments = ["hamlet", "--prompt", "To be", "--max-new-tokens", "30", "--temperature", "0"]
    assert sample(*arguments, "--on-full", "stop") == 0
    assert "context full" in capsys.readouterr().err


def test_a_stop_text_ends_the_sample(run, capsys):
    arguments = ["hamlet", "--prompt", "To be", "--max-new-tokens", "30", "--temperature", "0"]
    assert sample(*arguments) == 0
    whole = capsys.readouterr().out.removesuffix("\n")
    stop = whole[15:18]
    assert sample(*arguments, "--stop", stop) == 0
    captured = capsys.readouterr()
    assert captured.out == whole[: whole.index(stop, 5)] + "\n"
    assert "stop string" in captured.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["hamlet", "--prompt", "€"], 1, "'€'"),
        (["hamlte"], 1, "Nearest: hamlet"),
        (["hamlet", "--temperature", "-1"], 2, "temperature must be"),
        (["hamlet", "--top-p", "0"], 2, "top_p must be"),
        (["hamlet", "--num-samples", "0"], 2, "num_samples must be at least 1, got 0"),
        (["hamlet", "--max-new-tokens", "0"], 2, "max_new_tokens must be at least 1, got 0"),
        (["hamlet", "--prompt", "To be, or not to be", "--on-full", "stop"], 2, "leaves no room"),
    ],
)
def test_mistakes_are_one_sentence(run, capsys, arguments, code, message):
    assert sample(*arguments) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert "Traceback" not in error


def test_a_run_without_a_checkpoint_says_so(run, capsys):
    for file in (run / "checkpoints" / "step_00000001").iterdir():
        file.unlink()
    (run / "checkpoints" / "step_00000001").rmdir()
    assert sample("hamlet") == 1
    assert "no checkpoint" in capsys.readouterr().err


# The talk


def hold_talk(model, tokenizer, *lines: str | type[BaseException], **settings) -> str:
    """What a talk prints when these lines are typed; an exception stands for a key such as Ctrl-D."""
    typed = iter([*lines, EOFError])

    def read_line() -> str:
        line = next(typed)
        if isinstance(line, str):
            return line
        raise line

    console = Console(file=io.StringIO(), width=200)
    talk(
        model,
        tokenizer,
        console,
        read_line=read_line,
        **({"max_new_tokens": 10, "sampling": GREEDY} | settings),
    )
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def continuation(model, tokenizer, prompt: str, length: int = 10) -> str | None:
    ids = tokenizer.encode(prompt)
    [result] = generate(
        model, [ids], max_new_tokens=length, sampling=GREEDY, tokenizer=tokenizer, on_full="slide"
    )
    return result.text


def test_a_line_is_continued(model, tokenizer):
    out = hold_talk(model, tokenizer, "To be", "that\\n")
    assert "To be" + continuation(model, tokenizer, "To be") + "\n[10 tokens," in out
    assert "that\n" + continuation(model, tokenizer, "that\n") in out


def test_an_unknown_character_is_answered_and_the_talk_goes_on(model, tokenizer):
    out = hold_talk(model, tokenizer, "€uro", "To be")
    assert "'€'" in out
    assert "To be" + continuation(model, tokenizer, "To be") in out


def test_commands_change_the_settings(model, tokenizer):
    out = hold_talk(
        model,
        tokenizer,
        "/temperature 0.7",
        "/top-k 40",
        "/top-k off",
        "/length 3",
        "/temperature 0",
        "To be",
    )
    assert "temperature 0.7   top-k off" in out
    assert "top-k 40" in out
    assert "To be" + continuation(model, tokenizer, "To be", length=3) + "\n[3 tokens," in out


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("/temprature 1", "Did you mean /temperature?"),
        ("/temperature", "/temperature needs a number, got ''."),
        ("/temperature -1", "temperature must be a number >= 0, got -1.0"),
        ("/top-k 1.5", "/top-k needs a whole number, got '1.5'."),
        ("/length 0", "/length must be at least 1, got 0."),
        ("/help", "/repetition-penalty 1.2"),
        ("/settings", "temperature 0.0   top-k off"),
    ],
)
def test_answers_to_commands(model, tokenizer, line, answer):
    assert answer in hold_talk(model, tokenizer, line)


def test_two_slashes_begin_a_text(model, tokenizer):
    assert "'/'" in hold_talk(
        model, tokenizer, "//to"
    )  # this tokenizer does not know the slash: it was a text


def test_quit_leaves_and_an_interrupt_at_the_prompt_does_not(model, tokenizer):
    out = hold_talk(model, tokenizer, KeyboardInterrupt, "To be", "/quit", "that")
    assert "Ctrl-D or /quit leaves." in out
    assert "To be" in out
    assert "that" not in out


def test_an_interrupt_stops_the_text_not_the_talk(model, tokenizer, monkeypatch):
    steps = 0
    compute_logits = GPT.compute_logits

    def interrupted(self, *args, **kwargs):
        nonlocal steps
        steps += 1
        if steps == 4:
            raise KeyboardInterrupt
        return compute_logits(self, *args, **kwargs)

    monkeypatch.setattr(GPT, "compute_logits", interrupted)
    out = hold_talk(model, tokenizer, "To be", "that")
    first, second = out.split("[stopped]")
    assert "To be" in first
    assert "that" in second
    assert "[10 tokens," in second


def test_each_text_has_a_seed_of_its_own(model, tokenizer):
    settings = {"sampling": SamplingConfig(temperature=1.0), "max_new_tokens": 12}
    out = hold_talk(model, tokenizer, "To be", "To be", **settings)
    first, second = (part.partition("\n[")[0] for part in out.split("To be")[1:])
    assert first != second
    again = hold_talk(model, tokenizer, "/seed 1", "To be", **settings)
    assert again.split("To be")[1].partition("\n[")[0] == first


def test_an_empty_line_starts_from_the_start_token(model, tokenizer):
    assert "[10 tokens," in hold_talk(model, tokenizer, "")


def test_control_characters_do_not_reach_the_terminal():
    assert printable("a\x1b[2Jb\x07\x9b\tc\n") == "a�[2Jb��\tc\n"


def test_a_small_model_writes_with_one_thread_and_gives_the_others_back(model):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with few_threads(model):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with pytest.raises(ConfigError), few_threads(model):
            raise ConfigError("x")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_help_and_mistakes_answer_without_importing_torch(tmp_path):
    script = (
        "import sys; from nn2llm.cli.main import main\n"
        "assert main(['runs', 'list']) == 0\n"
        "assert main(['sample', 'nothing']) == 1\n"
        "try: main(['sample', '--help'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    environment = os.environ | {"NN2LLM_RUNS": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--max-new-tokens" in done.stdout
