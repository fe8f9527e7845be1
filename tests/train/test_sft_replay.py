"""Replay: documents of the pretraining text among the conversations of fine-tuning."""

import pytest

from nn2llm.core.errors import ConfigError
from nn2llm.core.run_folder import RunFolder
from nn2llm.data.chat_batches import ChatRows, encode_document
from nn2llm.evals.perplexity import score_documents
from nn2llm.tokenizers.bpe import BPETokenizer
from nn2llm.train.checkpoint import load_trained_model
from nn2llm.train.sft import finetune
from nn2llm.train.sft_config import SFTConfig
from tests.train.test_sft import CPU, SILENT, build_parent, draw_conversations, write_parent


def test_every_token_of_a_document_is_learnt_its_end_included():
    tokenizer = BPETokenizer([])
    mark = tokenizer.end_of_text_id
    document = encode_document(tokenizer, "abc", seq_len=10)
    assert document.ids == [mark, *b"abc", mark]
    assert document.is_reply == [False, True, True, True, True]


def test_a_document_longer_than_a_row_is_cut_and_has_no_end():
    tokenizer = BPETokenizer([])
    document = encode_document(tokenizer, "abcdef", seq_len=4)
    assert document.ids == [tokenizer.end_of_text_id, *b"abcd"]
    rows = ChatRows([document], seq_len=4, pad_id=0, packed=True)
    batch = rows.build_batch([0])
    assert batch.labels[0].tolist() == list(b"abcd")
    assert rows.num_left_out == rows.num_cut == 0


@pytest.mark.parametrize("fraction", [0.0, -1.0, float("nan")])
def test_a_fraction_that_is_none_is_refused_in_one_sentence(fraction):
    with pytest.raises(ConfigError, match=r"replay_fraction must be positive, got .* leave out replay"):
        SFTConfig(init_from="x", replay_fraction=fraction)


def test_fine_tuning_with_replay_keeps_more_of_the_text_that_no_conversation_holds(tmp_path):
    text = tmp_path / "text.jsonl"
    document = "the weather there is other weather, and the other there is hello"
    text.write_text("".join(f'{{"text": "{document} {number}"}}\n' for number in range(200)))
    parent = write_parent(tmp_path / "base", *build_parent())
    losses = {}
    for name, replay in (("without", None), ("with", str(text))):
        config = SFTConfig(
            init_from=str(parent), replay=replay, replay_fraction=0.5, steps=20, batch_size=4,
            val_fraction=0.2, num_samples=0, machine=CPU,
        )  # fmt: skip
        result = finetune(
            config, RunFolder(tmp_path / name), conversations=draw_conversations(40), console=SILENT
        )
        losses[name] = _compute_loss_of(tmp_path / name, document)
        assert result.metrics["val_loss"] < result.metrics["val_loss_before"]
    assert losses["with"] < losses["without"] - 1


def _compute_loss_of(run, document):
    model, tokenizer = load_trained_model(run)
    return score_documents(model, tokenizer, [document]).nats_per_token
