"""Losses of DPO, its family, reward model and GRPO equal TRL's trainers: same tiny model and batch, to 1e-6.

TRL has no pure functions for them, so its real trainers are built and their `compute_loss` is called. Ours
gets the log-probabilities that we compute from the same model's plain logits.
"""

import socket

import pytest
import torch
from torch.testing import assert_close

from nn2llm.losses import (
    bradley_terry_loss,
    cdpo_loss,
    centering_penalty,
    compute_logprobs,
    dpo_loss,
    group_advantages,
    grpo_loss,
    hinge_loss,
    implicit_rewards,
    ipo_loss,
    mean_logps,
    sum_logps,
)

WORDS = ["<pad>", "<eos>", *"abcdefghijklmnopqrstuvwxyz"]
PAIRS = {  # replies and prompts of several lengths, so that the batch is padded
    "prompt": ["a b c", "d", "e f g h i", "j k"],
    "chosen": [" l m n o", " p", " q r", " s t u v w"],
    "rejected": [" x", " y z a b c", " d e", " f g"],
    "margin": [0.5, 0.0, 1.25, 2.0],
}
# TRL's own use of transformers
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")

SAME = {"rtol": 1e-6, "atol": 1e-6}  # TRL's fused head of the DPO trainer is float32 whatever the model is


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Offline, and the caches of HuggingFace's libraries in a temporary folder, before they are imported."""

    def refuse(*_):
        raise AssertionError("a test against TRL reached for the network")

    folder = tmp_path_factory.mktemp("trl")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
            patch.setenv(name, "1")
        patch.setenv("HF_HOME", str(folder / "home"))
        patch.setattr(socket.socket, "connect", refuse)
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def tokenizer(folder):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<pad>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>")


def build_config(seed):
    from transformers import GPT2Config

    torch.manual_seed(seed)
    # large weights: log-ratios of some nats, so that no loss is near its value at the start
    return GPT2Config(
        vocab_size=len(WORDS), n_positions=16, n_embd=16, n_layer=2, n_head=2, initializer_range=0.3,
        pad_token_id=0, eos_token_id=1, num_labels=1,
    )  # fmt: skip


def build_arguments(folder, **options):
    return {
        "output_dir": str(folder / "out"), "report_to": "none", "use_cpu": True, "bf16": False,
        "per_device_train_batch_size": len(PAIRS["prompt"]),
        "disable_tqdm": True, **options,
    }  # fmt: skip


@pytest.fixture(scope="module")
def dpo(folder, tokenizer):
    """TRL's trainer with its one batch, and what our side needs: the policy, log-probabilities, labels."""
    from datasets import Dataset
    from transformers import GPT2LMHeadModel
    from trl import DPOConfig, DPOTrainer

    trainer = DPOTrainer(
        model=GPT2LMHeadModel(build_config(1)),
        ref_model=GPT2LMHeadModel(build_config(2)),
        args=DPOConfig(**build_arguments(folder)),
        train_dataset=Dataset.from_dict({k: v for k, v in PAIRS.items() if k != "margin"}),
        processing_class=tokenizer,
    )
    batch = next(iter(trainer.get_train_dataloader()))
    assert batch["input_ids"].shape == (8, 8)  # chosen over rejected; the longest: 5 + 2 tokens and <eos>
    return trainer, batch


def compute_ours(model, batch):
    """log p of each reply, summed and a token, each as (chosen, rejected): from plain logits, by us."""
    ids = batch["input_ids"]
    labels = ids.masked_fill(batch["completion_mask"] == 0, -100)[:, 1:]
    logits = model(input_ids=ids, attention_mask=batch["attention_mask"]).logits[:, :-1]
    logprobs = compute_logprobs(logits, labels)
    return sum_logps(logprobs).chunk(2), mean_logps(logprobs, labels).chunk(2)


def run_trl(dpo, loss_type, beta, label_smoothing=0.0, rows=slice(None)):
    trainer, batch = dpo
    trainer.loss_types, trainer.beta, trainer.label_smoothing = [loss_type], beta, label_smoothing
    num_pairs = len(batch["input_ids"]) // 2
    chosen = torch.arange(num_pairs)[rows]
    batch = {k: v[torch.cat([chosen, chosen + num_pairs])] for k, v in batch.items()}
    return trainer.compute_loss(trainer.model, batch)


def run_ours(dpo, function, *, per_token=False, **options):
    trainer, batch = dpo
    with torch.no_grad():
        ref = compute_ours(trainer.ref_model, batch)[per_token]
    policy = compute_ours(trainer.model, batch)[per_token]
    return function(*policy, *ref, **options)


@pytest.mark.parametrize("beta", [0.05, 0.3])
@pytest.mark.parametrize(
    ("loss_type", "function", "per_token"),
    [("sigmoid", dpo_loss, False), ("hinge", hinge_loss, False), ("ipo", ipo_loss, True)],
)
def test_dpo_family_equals_trl_with_gradients(dpo, loss_type, function, per_token, beta):
    weights = list(dpo[0].model.parameters())
    ours = run_ours(dpo, function, per_token=per_token, beta=beta).mean()
    theirs = run_trl(dpo, loss_type, beta)
    assert_close(ours, theirs, **SAME)
    for a, b in zip(torch.autograd.grad(ours, weights), torch.autograd.grad(theirs, weights), strict=True):
        # float32's rounding, times IPO's factor of 2 (h - 1 / (2 beta)) = 20
        assert_close(a, b, rtol=0, atol=5e-6 * max(1.0, b.abs().max().item()))


def test_losses_of_trl_are_far_apart(dpo):
    # so that agreement with one of them says something
    values = [run_trl(dpo, loss_type, 0.3).item() for loss_type in ("sigmoid", "hinge", "ipo", "aot")]
    assert min(abs(a - b) for i, a in enumerate(values) for b in values[:i]) > 0.01


@pytest.mark.parametrize("pair", range(4))
def test_cdpo_equals_trl_on_single_pairs(dpo, pair):
    # TRL has no loss named cDPO. Its AOT is cDPO on sorted log-ratios: with one pair there is nothing to sort
    theirs = run_trl(dpo, "aot", 0.3, label_smoothing=0.2, rows=slice(pair, pair + 1))
    assert_close(run_ours(dpo, cdpo_loss, beta=0.3, label_smoothing=0.2)[pair], theirs, **SAME)


def test_cdpo_follows_from_trls_robust_loss(dpo):
    # a: loss on the label, b: on the flipped one. robust = ((1-e) a - e b) / (1-2e) and cDPO = (1-e) a + e b
    # add up to: cDPO = 2 (1-e) a - (1-2e) robust
    e = 0.2
    robust, a = run_trl(dpo, "robust", 0.3, label_smoothing=e), run_trl(dpo, "sigmoid", 0.3)
    ours = run_ours(dpo, cdpo_loss, beta=0.3, label_smoothing=e).mean()
    assert_close(ours, 2 * (1 - e) * a - (1 - 2 * e) * robust, **SAME)


def test_implicit_rewards_and_logps_equal_what_trl_logs(dpo):
    trainer, batch = dpo
    trainer._metrics["train"].clear()
    run_trl(dpo, "sigmoid", 0.3)
    logged = {name: numbers[-1] for name, numbers in trainer._metrics["train"].items()}
    policy, ref = (compute_ours(model, batch)[0] for model in (trainer.model, trainer.ref_model))
    chosen, rejected = (implicit_rewards(p, r, 0.3) for p, r in zip(policy, ref, strict=True))
    assert logged["rewards/chosen"] == pytest.approx(chosen.mean().item(), abs=1e-6)
    assert logged["rewards/margins"] == pytest.approx((chosen - rejected).mean().item(), abs=1e-6)
    assert logged["rewards/accuracies"] == (chosen > rejected).double().mean().item()
    assert logged["logps/rejected"] == pytest.approx(policy[1].mean().item(), rel=1e-6)


@pytest.mark.parametrize("with_margin", [False, True])
@pytest.mark.parametrize("coefficient", [None, 0.01, 0.5])
def test_reward_loss_equals_trl(folder, tokenizer, with_margin, coefficient):
    from datasets import Dataset
    from transformers import GPT2ForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    pairs = {k: v for k, v in PAIRS.items() if with_margin or k != "margin"}
    model = GPT2ForSequenceClassification(build_config(3)).double()
    trainer = RewardTrainer(
        model=model,
        args=RewardConfig(**build_arguments(folder, center_rewards_coefficient=coefficient)),
        train_dataset=Dataset.from_dict(pairs),
        processing_class=tokenizer,
    )
    batch = next(iter(trainer.get_train_dataloader()))
    assert ("margin" in batch) == with_margin
    scores = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits.squeeze(-1)
    margins = batch["margin"].double() if with_margin else None
    chosen, rejected = scores.chunk(2)
    ours = (
        bradley_terry_loss(chosen, rejected, margins=margins)
        + (coefficient or 0.0) * centering_penalty(chosen, rejected)
    ).mean()
    theirs = trainer.compute_loss(model, batch)
    assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    weights = list(model.parameters())
    for a, b in zip(torch.autograd.grad(ours, weights), torch.autograd.grad(theirs, weights), strict=True):
        assert_close(a, b, rtol=1e-12, atol=1e-12)


# --- GRPO ---------------------------------------------------------------------------------------------------

GROUP = 4
GIVEN = [0.5, 2.0, -1.0, 0.25, 1.0, 1.0, 1.0, 1.0, 3.0, 2.5, -2.0, 0.0, 0.1, 0.2, 0.3, 0.7]
"""Rewards of the 16 replies to the 4 prompts; those of the second prompt are all equal."""


@pytest.fixture(scope="module")
def grpo(folder, tokenizer):
    """TRL's trainer, and the batch that it generated and scored: four replies to each prompt."""
    from datasets import Dataset
    from transformers import GPT2LMHeadModel
    from trl import GRPOConfig, GRPOTrainer

    # the reference is loaded from where the policy came from
    GPT2LMHeadModel(build_config(1)).save_pretrained(folder / "policy")
    arguments = build_arguments(folder, per_device_train_batch_size=16)
    trainer = GRPOTrainer(
        model=GPT2LMHeadModel.from_pretrained(folder / "policy"),
        reward_funcs=lambda completions, **_: GIVEN[: len(completions)],
        args=GRPOConfig(
            **arguments,
            num_generations=GROUP,
            max_completion_length=6,
            beta=0.1,
            use_bias_correction_kl=False,  # its KL term times the ratio: not in the paper
        ),
        train_dataset=Dataset.from_dict({"prompt": PAIRS["prompt"]}),
        processing_class=tokenizer,
    )
    trainer.model.eval()  # else TRL divides by steps of gradient accumulation, which only training sets
    prompts = [{"prompt": prompt} for prompt in PAIRS["prompt"] for _ in range(GROUP)]
    batch = trainer._generate_and_score_completions(prompts)
    # nearly all replies of random weights are cut at the limit: here they get several lengths
    num_tokens = batch["completion_ids"].shape[1]
    lengths = torch.arange(len(GIVEN)) % num_tokens + 1
    batch["completion_mask"] = (torch.arange(num_tokens) < lengths[:, None]).int()
    return trainer, batch


@pytest.mark.parametrize("scale", ["group", "none"])
def test_grpo_advantages(grpo, scale):
    trainer, batch = grpo
    advantages = batch["advantages"]
    if scale == "none":
        trainer.scale_rewards = "none"
        prompts = [{"prompt": prompt} for prompt in PAIRS["prompt"] for _ in range(GROUP)]
        advantages = trainer._generate_and_score_completions(prompts)["advantages"]
        trainer.scale_rewards = "group"
    ours = group_advantages(torch.tensor(GIVEN), GROUP, scale=scale == "group")
    assert_close(ours, advantages, **SAME)


@pytest.mark.parametrize(
    ("loss_type", "averaging"), [("grpo", "reply"), ("bnpo", "token"), ("dr_grpo", "constant")]
)
@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_grpo_loss_and_gradient(grpo, loss_type, averaging, beta):
    trainer, batch = grpo
    trainer.loss_type, trainer.beta, trainer.epsilon_low, trainer.epsilon_high = loss_type, beta, 0.2, 0.28
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    seen = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
    mask, length = batch["completion_mask"].bool(), batch["completion_ids"].shape[1]

    def compute_logps():
        logits = trainer.model(input_ids=ids, attention_mask=seen).logits[:, -length - 1 : -1]
        return compute_logprobs(logits, batch["completion_ids"])

    with torch.no_grad():
        logps = compute_logps()
    noise = torch.Generator().manual_seed(5)
    # policies some steps away, so that both clips bind somewhere
    old = logps + 0.3 * torch.randn(logps.shape, generator=noise)
    ref = logps + 0.3 * torch.randn(logps.shape, generator=noise)
    given = batch | {"old_per_token_logps": old, "ref_per_token_logps": ref}

    theirs = trainer._compute_loss(trainer.model, given)
    ours = grpo_loss(
        compute_logps(),
        old,
        batch["advantages"],
        mask,
        ref_logprobs=ref,
        kl_coef=beta,
        clip_range=0.2,
        clip_range_high=0.28,
        averaging=averaging,
        max_length=6,
    )
    assert 0 < ours.clip_fraction < 1
    assert_close(ours.loss, theirs, **SAME)
    weights = list(trainer.model.parameters())
    for mine, other in zip(
        torch.autograd.grad(ours.loss, weights), torch.autograd.grad(theirs, weights), strict=True
    ):
        assert_close(mine, other, rtol=0, atol=5e-6 * float(other.abs().max().clamp(min=1)))
