"""Our training steps against TRL's trainers, from the conversations on: same loss and gradients to 1e-6.

The model and tokenizer go through an export, the conversations through each side's own tokenizing, padding
and batching; so this holds the chat template, the labels and the rows that we compute once to TRL's. That the
formulas are equal is in tests/losses/test_trl.py.
"""

import itertools
import socket

import pytest
import torch
from torch.testing import assert_close

from nn2llm.data.pair_batches import encode_pairs
from nn2llm.data.preferences import PreferencePair
from nn2llm.evals.reply_scores import compute_row_logps
from nn2llm.models.hf import export_to_hf
from nn2llm.models.reward_model import RewardModel
from nn2llm.tokenizers.chat import ChatFormat
from nn2llm.train.dpo import DPOTrainer
from nn2llm.train.dpo_config import DPOConfig
from nn2llm.train.reward import RewardTrainer
from nn2llm.train.reward_config import RewardConfig
from nn2llm.train.session import choose_machine
from tests.models.hf_cases import build_chat_bpe, build_ours
from tests.train.preference_runs import CPU

MAX_SEQ_LEN = 96
TOKENIZER = build_chat_bpe()
PROMPTS = [
    [{"role": "user", "content": "Hello there"}],
    [
        {"role": "user", "content": "the weather?"},
        {"role": "assistant", "content": "Hello 123"},
        {"role": "user", "content": "other"},
    ],
]
REPLIES = ["hello", "the weather, hello there", "123 🙂"]
PAIRS = [
    PreferencePair(tuple(prompt), chosen, rejected, 0.5 * number)
    for prompt in PROMPTS
    for number, (chosen, rejected) in enumerate(itertools.combinations(REPLIES, 2))
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two exported models; offline, with the caches of HuggingFace's libraries in a temporary folder."""

    def refuse(*_):
        raise AssertionError("a test against TRL reached for the network")

    folder = tmp_path_factory.mktemp("trl")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
            patch.setenv(name, "1")
        patch.setenv("HF_HOME", str(folder / "home"))
        patch.setattr(socket.socket, "connect", refuse)
        patch.chdir(folder)
        for name in ("policy", "reference"):
            export_to_hf(build_gpt(name), TOKENIZER, folder / name)
        yield folder


def build_gpt(name):
    gpt = build_ours("qwen3", vocab_size=TOKENIZER.vocab_size, max_seq_len=MAX_SEQ_LEN, n_embd=16, n_head=2)
    if name == "reference":
        torch.manual_seed(7)
        with torch.no_grad():
            for weight in gpt.parameters():
                weight.add_(0.02 * torch.randn_like(weight))
    return gpt


def build_dataset(*, with_margin):
    """In TRL's layout of conversations."""
    from datasets import Dataset

    rows = [
        {
            "prompt": list(pair.prompt),
            "chosen": [{"role": "assistant", "content": pair.chosen}],
            "rejected": [{"role": "assistant", "content": pair.rejected}],
            **({"margin": pair.margin} if with_margin else {}),
        }
        for pair in PAIRS
    ]
    return Dataset.from_list(rows)


def build_arguments(folder, **options):
    return {
        "output_dir": str(folder / "out"), "report_to": "none", "use_cpu": True, "bf16": False,
        "per_device_train_batch_size": len(PAIRS), "disable_tqdm": True, "max_length": MAX_SEQ_LEN, **options,
    }  # fmt: skip


def load_tokenizer(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder / "policy")


def compute_theirs(trainer):
    """Loss, and gradients by the parameter's name."""
    batch = next(iter(trainer.get_train_dataloader()))
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    return loss.item(), {name: weight.grad for name, weight in trainer.model.named_parameters()}


def compare_gradients(ours, theirs, *, tolerance):
    """Those whose names map plainly (the rest are cut up differently), by the size of the largest."""
    pairs = [
        (ours.token_embedding.weight, "model.embed_tokens.weight"),
        (ours.blocks[0].attention.proj.weight, "model.layers.0.self_attn.o_proj.weight"),
        (ours.blocks[1].feed_forward.down.weight, "model.layers.1.mlp.down_proj.weight"),
        (ours.final_norm.weight, "model.norm.weight"),
    ]
    for weight, name in pairs:
        scale = max(1.0, theirs[name].abs().max().item())
        assert_close(weight.grad, theirs[name], rtol=0, atol=tolerance * scale)


def encode():
    return encode_pairs(PAIRS, ChatFormat(TOKENIZER), max_seq_len=MAX_SEQ_LEN)


@pytest.mark.parametrize(("loss", "theirs"), [("dpo", "sigmoid"), ("hinge", "hinge"), ("ipo", "ipo")])
def test_a_dpo_step_equals_trls(folder, loss, theirs):
    import trl
    from transformers import AutoModelForCausalLM

    trainer = trl.DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder / "policy"),
        ref_model=AutoModelForCausalLM.from_pretrained(folder / "reference"),
        args=trl.DPOConfig(**build_arguments(folder, loss_type=[theirs], beta=0.3)),
        train_dataset=build_dataset(with_margin=False),
        processing_class=load_tokenizer(folder),
    )
    expected, gradients = compute_theirs(trainer)

    data = encode()
    assert (data.num_pairs, len(data.rows)) == (6, 6)  # TRL computes 12 rows
    config = DPOConfig(machine=CPU, steps=1, loss=loss, beta=0.3, per_token=loss == "ipo")
    ref_logps = torch.from_numpy(compute_row_logps(build_gpt("reference"), data.rows)).float()
    ours = DPOTrainer(config, build_gpt("policy"), choose_machine(CPU), data, ref_logps)
    found, _, _ = ours.compute_gradients(ours.loader.load_step(0))
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert abs(found - {"dpo": 0.6931, "hinge": 1.0, "ipo": 2.7778}[loss]) > 1e-3  # not the start's
    # float32: TRL's head is that whatever the model is
    compare_gradients(ours.model, gradients, tolerance=5e-6)


@pytest.mark.parametrize(("with_margin", "center_coef"), [(False, 0.0), (True, 0.05)])
def test_a_reward_step_equals_trls(folder, with_margin, center_coef):
    import trl
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(3)
    head = torch.randn(1, 16, dtype=torch.float64)
    model = AutoModelForSequenceClassification.from_pretrained(folder / "policy", num_labels=1).double()
    model.score.weight.data.copy_(head)
    trainer = trl.RewardTrainer(
        model=model,
        args=trl.RewardConfig(**build_arguments(folder, center_rewards_coefficient=center_coef)),
        train_dataset=build_dataset(with_margin=with_margin),
        processing_class=load_tokenizer(folder),
    )
    expected, gradients = compute_theirs(trainer)

    scorer = RewardModel.from_gpt(build_gpt("policy")).double()
    scorer.score.weight.data.copy_(head)
    config = RewardConfig(machine=CPU, steps=1, use_margins=with_margin, center_coef=center_coef)
    ours = RewardTrainer(config, scorer, choose_machine(CPU), encode())
    found, _ = ours.compute_gradients(ours.loader.load_trees(0))
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert abs(found - 0.6931) > 1e-2
    assert_close(scorer.score.weight.grad, gradients["score.weight"], rtol=0, atol=1e-6)
    compare_gradients(scorer.gpt, gradients, tolerance=1e-6)  # transformers' norms are float32
