"""One step of our fine-tuning beside one of TRL's: the same loss, the same gradient.

TRL pads conversations and reads its masks from the exported chat template; we pack them. Both take two
micro-batches of different numbers of reply tokens, so a mean of means would show.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from nn2llm.core.device import choose_precision
from nn2llm.data.chat_batches import ChatRows
from nn2llm.models.gpt import GPT
from nn2llm.models.hf.architectures import choose_architecture
from nn2llm.models.hf.exporting import export_to_hf
from nn2llm.models.hf.weights import to_hf_weights
from nn2llm.tokenizers import Tokenizer
from nn2llm.tokenizers.chat import ChatFormat
from nn2llm.train.session import Machine
from nn2llm.train.sft import FineTuner, add_chat_tokens
from nn2llm.train.sft_config import SFTConfig
from tests.models.hf_cases import build_bpe, build_ours

SEQ_LEN = 96
CONVERSATIONS = [
    [
        {"role": "system", "content": "the weather"},
        {"role": "user", "content": "Hello " * number},
        {"role": "assistant", "content": "there " * (2 * number + 1)},
        {"role": "user", "content": "other"},
        {"role": "assistant", "content": "weather 123"},
    ]
    for number in range(1, 5)
]


@pytest.fixture(scope="module")
def trl() -> Any:
    return pytest.importorskip("trl")


def build(name: str, *, chat_tokens: bool) -> tuple[GPT, Tokenizer]:
    # A token of its own for padding: transformers gives that row of Llama's embedding no gradient, even where
    # it is <|endoftext|>, which begins each conversation.
    tokenizer = build_bpe("<|pad|>")
    model = build_ours(name, vocab_size=tokenizer.vocab_size, max_seq_len=SEQ_LEN)
    return add_chat_tokens(model, tokenizer) if chat_tokens else (model, tokenizer)


def step_with_trl(trl: Any, folder: Path) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradient of TRL's first step on the exported folder."""
    import datasets
    import transformers

    losses: list[float] = []
    gradients: dict[str, torch.Tensor] = {}

    class Watched(trl.SFTTrainer):
        def training_step(self, *args: Any, **options: Any) -> torch.Tensor:
            losses.append(super().training_step(*args, **options))
            return losses[-1]

    class Catch(transformers.TrainerCallback):
        def on_pre_optimizer_step(self, *args: Any, model: Any = None, **options: Any) -> None:
            gradients.update({name: one.grad.clone() for name, one in model.named_parameters()})

    settings = trl.SFTConfig(
        output_dir=str(folder / "trl"),
        assistant_only_loss=True,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        max_steps=1,
        max_length=SEQ_LEN,
        max_grad_norm=0.0,  # no clipping
        use_cpu=True,
        bf16=False,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )
    trainer = Watched(
        model=transformers.AutoModelForCausalLM.from_pretrained(folder / "export", dtype=torch.float32),
        args=settings,
        train_dataset=datasets.Dataset.from_list([{"messages": one} for one in CONVERSATIONS]),
        processing_class=transformers.AutoTokenizer.from_pretrained(folder / "export"),
        callbacks=[Catch()],
    )
    trainer.train()
    return float(sum(losses)), gradients


@pytest.mark.parametrize(
    ("name", "chat_tokens"),
    [("qwen3", True), ("llama-tied-grouped", False), ("gpt2", True)],  # gpt2: one conversation a row
)
def test_loss_and_gradient_equal_trls(trl, tmp_path, monkeypatch, name, chat_tokens):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model, tokenizer = build(name, chat_tokens=chat_tokens)
    export_to_hf(model, tokenizer, tmp_path / "export")
    expected_loss, expected = step_with_trl(trl, tmp_path)

    chat = ChatFormat(tokenizer)
    rows = ChatRows(
        [chat.encode(one) for one in CONVERSATIONS],
        seq_len=SEQ_LEN,
        pad_id=tokenizer.end_of_text_id,
        packed=name != "gpt2",
    )
    machine = Machine(torch.device("cpu"), choose_precision(torch.device("cpu"), "fp32"))
    trainer = FineTuner(SFTConfig(steps=1, micro_batch_size=1), model, machine, rows, None)
    loss, num_labels = trainer.compute_gradients(rows.build_batch(range(len(rows))))
    assert num_labels == rows.num_labels
    assert len(rows) > 1

    assert loss.item() == pytest.approx(expected_loss, abs=1e-6)
    ours = {key: parameter.grad for key, parameter in model.named_parameters()}
    found = to_hf_weights(ours, model.config, choose_architecture(model.config))
    assert found.keys() == expected.keys()
    assert max(float(one.abs().max()) for one in expected.values()) > 0.01
    assert_close(found, expected, rtol=1e-6, atol=1e-6)
