"""That equal work is compared: the peers' recipe, and the checks that stop a figure of unequal work."""

import gzip
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.books import count_bytes, cut_into_documents, load_books
from benchmarks.generation_speed import check_same_tokens
from benchmarks.microworld_speed import check_equal as check_equal_nats
from benchmarks.peers import Shape, build_adamw, compute_nanogpt_lr, draw_batch, import_nanogpt
from benchmarks.time_to_loss import TARGET, Peer, Track, format_report
from benchmarks.tokenizer_speed import check_equal as check_equal_ids
from benchmarks.training_speed import check_equal as check_equal_losses
from nn2llm.core.errors import ConfigError

# nanoGPT's recipe


def test_the_learning_rate_warms_up_and_follows_half_a_cosine():
    rates = [compute_nanogpt_lr(step) for step in (0, 99, 100, 575, 1050, 2000, 3000)]
    quarter = 1e-4 + 9e-4 * (1 + math.sqrt(0.5)) / 2
    assert rates == pytest.approx([1e-3 / 101, 0.1 / 101, 1e-3, quarter, 5.5e-4, 1e-4, 1e-4])


def test_batches_are_windows_at_random_offsets_and_the_tokens_that_follow():
    tokens = torch.arange(100, 130)
    starts = set()
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        inputs, labels = draw_batch(tokens, batch_size=4, context=8, generator=generator)
        assert inputs.shape == labels.shape == (4, 8)
        assert torch.equal(labels, inputs + 1)
        assert torch.equal(inputs - inputs[:, :1], torch.arange(8).expand(4, 8))
        starts |= set(inputs[:, 0].tolist())
    assert (min(starts), max(starts)) == (100, 121)  # the last label is the last token, 129


def test_only_matrices_decay():
    model = nn.Sequential(nn.Embedding(5, 4), nn.LayerNorm(4), nn.Linear(4, 3))
    decayed, kept = build_adamw(model, learning_rate=1e-3).param_groups
    assert [p.ndim for p in decayed["params"]] == [2, 2]
    assert [p.ndim for p in kept["params"]] == [1, 1, 1]
    assert (decayed["weight_decay"], kept["weight_decay"], decayed["betas"]) == (0.1, 0.0, (0.9, 0.99))


def test_our_configs_differ_in_style_alone():
    shape = Shape(vocab_size=7, context=16, batch_size=2, n_layer=1, n_head=2, n_embd=8)
    gpt2, qwen3 = shape.to_config("gpt2"), shape.to_config("qwen3")
    assert (gpt2.position, gpt2.tie_embeddings, qwen3.position, qwen3.qk_norm) == (
        "learned",
        True,
        "rope",
        True,
    )
    assert (gpt2.n_embd, gpt2.max_seq_len) == (qwen3.n_embd, qwen3.max_seq_len) == (8, 16)
    with pytest.raises(ValueError, match="gpt2 or qwen3, got 'gpt3'"):
        shape.to_config("gpt3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", r"model\.py has no GPT: it is not nanoGPT's"),
        ("raise RuntimeError('no')", r"model\.py cannot be imported \(RuntimeError: no\)"),
    ],
)
def test_a_model_py_that_is_not_nanogpts_is_said(tmp_path, text, message):
    (tmp_path / "model.py").write_text(text)
    with pytest.raises(ConfigError, match=message):
        import_nanogpt(tmp_path)


def test_a_checkout_is_imported_from_its_path(tmp_path):
    (tmp_path / "model.py").write_text(
        "from dataclasses import dataclass\n@dataclass\nclass GPTConfig:\n    n: int = 3\nclass GPT: pass\n"
    )
    assert import_nanogpt(tmp_path).GPTConfig().n == 3


# The race


class Runner:
    """Falls from a loss of 3 to 1 over 80 steps."""

    name, steps, num_parameters = "runner", 80, 1

    def __init__(self):
        self.done, self.evaluations = 0, []

    def take_step(self):
        self.done += 1

    def evaluate(self):
        self.evaluations.append(self.done)
        return 3 - 2 * self.done / 80


def test_a_turn_is_a_fortieth_and_the_target_stops_the_looking():
    runner = Runner()
    track = Track(runner, first_eval=41)
    for _ in range(40):
        track.take_turn()
    assert track.steps == runner.done == 80
    # 1.90 is met at 44 steps (3 - 1.1); looked at from 42 on, and once more at the end
    assert TARGET == 1.90
    assert runner.evaluations == [42, 44, 80]
    assert track.reached[0] == 44
    assert track.seconds == track.reached[1] < track.training_s
    assert track.val_loss == 1


def build_track(name, seconds, reached):
    racer = SimpleNamespace(name=name)
    return Track(racer, first_eval=0, training_s=seconds, reached=(1, seconds) if reached else None)


def report(*races):
    rows = [tuple("123456789")]
    return format_report([list(race) for race in races], rows).splitlines()[-1]


def test_the_ratio_is_that_of_the_seconds_to_the_target():
    races = [(build_track("we", 10, True), build_track("peer", seconds, True)) for seconds in (50, 90, 60)]
    assert report(*races) == "**peer / ours: 6.0** (medians 60.0 s and 10.0 s)."


def test_a_peer_that_does_not_arrive_gives_a_lower_bound():
    races = [(build_track("we", 10, True), build_track("peer", 50, reached)) for reached in (True, False)]
    assert report(*races).startswith("**peer / ours: ≥ 5.0** (medians ≥ 50.0 s and 10.0 s; it did not reach")


def test_where_we_do_not_arrive_there_is_no_ratio():
    races = [(build_track("we", 10, reached), build_track("peer", 50, True)) for reached in (True, False)]
    assert report(*races) == "**peer: no ratio, ours did not reach 1.90 with every seed.**"


def test_the_peers_held_out_loss_counts_every_token_once():
    class Uniform(nn.Linear):
        def forward(self, inputs):
            # token 0 comes least: filled-up labels, if they counted, would show
            return torch.tensor([-5.0, 0, 0, 0, 0]).expand(*inputs.shape, 5)

    dataset = SimpleNamespace(train=np.arange(100) % 5, val=1 + np.arange(77) % 4)
    model = Uniform(1, 1)
    peer = Peer(
        "uniform", model, torch.optim.SGD(model.parameters()), lambda m, x, y: (m(x), None), dataset, seed=1
    )
    assert peer.evaluate() == pytest.approx(math.log(4 + math.exp(-5)), abs=1e-6)


# The checks


def test_other_tokens_are_named():
    check_same_tokens([[1, 2], [3, 4]], [[1, 2], [3, 4]])
    with pytest.raises(AssertionError, match="row 1, token 0: ours 3, theirs 5"):
        check_same_tokens([[1, 2], [3, 4]], [[1, 2], [5, 4]])
    with pytest.raises(ValueError, match="zip"):
        check_same_tokens([[1, 2]], [[1]])


def test_other_ids_are_named():
    assert check_equal_ids({"ours": lambda: [[1], [2]], "hf": lambda: [[1], [2]]}) == [[1], [2]]
    with pytest.raises(AssertionError, match="document 1: hf and ours differ"):
        check_equal_ids({"ours": lambda: [[1], [2]], "hf": lambda: [[1], [3]]})
    with pytest.raises(AssertionError, match="hf gives 1 results, ours 2"):
        check_equal_ids({"ours": lambda: [[1], [2]], "hf": lambda: [[1]]})


def test_other_losses_and_probabilities_are_named():
    check_equal_losses(torch.tensor(4.0), torch.tensor(4.00005))
    with pytest.raises(AssertionError, match="first losses differ"):
        check_equal_losses(torch.tensor(4.0), torch.tensor(4.001))
    check_equal_nats([1.0, 2.0], [1.0, 2.0])
    with pytest.raises(AssertionError, match="document 1: read 2"):
        check_equal_nats([1.0, 2.0], [1.0, 3.0])


# The books


def test_books_are_read_up_to_a_size_and_cut_without_a_loss(tmp_path):
    path = tmp_path / "books.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        for text in ("one\ntwo\nthree", "äää"):
            file.write(json.dumps({"text": text}) + "\n")
    assert load_books(path, 1000) == ["one\ntwo\nthree", "äää"]
    assert load_books(path, 16) == ["one\ntwo\nthree", "ä"]  # 13 bytes, then 3: one character and a half
    assert load_books(path, 13) == ["one\ntwo\nthree"]
    documents = cut_into_documents(["one\ntwo\nthree", "äää"], 2)
    assert documents == ["one\n", "two\n", "three", "äää"]
    assert count_bytes(documents) == 19
