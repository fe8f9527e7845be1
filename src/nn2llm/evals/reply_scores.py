"""Numbers of whole replies: a reward model's score, and how probable a language model finds them.

Rows are sorted by length and padded at the right, where causal attention does not look: a number does not
depend on the rows beside it (up to float32's rounding). Read data/pair_batches.py before. Used by
train/reward.py and train/dpo.py for what they hold out, and by the recipe for any reply; reward_accuracy.py
makes figures of the scores.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nn2llm.core.errors import DataError
from nn2llm.data.pair_batches import ReplyRow, RowBatch, build_rows, encode_row
from nn2llm.losses.log_probs import compute_logprobs, sum_logps
from nn2llm.models.gpt import GPT
from nn2llm.models.reward_model import RewardModel
from nn2llm.tokenizers.chat import ChatFormat, Message

__all__ = ["compute_reply_logps", "compute_row_logps", "compute_row_scores", "score_replies"]

Float64Array = npt.NDArray[np.float64]

DEFAULT_BATCH_SIZE = 64


def score_replies(
    model: RewardModel,
    chat: ChatFormat,
    prompts: Sequence[Sequence[Message]],
    replies: Sequence[str],
    *,
    batch_size: int = DEFAULT_BATCH_SIZE,
) -> Float64Array:
    """The reward of each reply to its prompt: float64 [N].

    Raises:
        DataError: if a prompt is no conversation, or with its reply it is longer than the context.
        TokenizerError: if a character is unknown (character tokenizers only).
        ValueError: if there are not as many replies as prompts.
    """
    rows = _encode_replies(chat, prompts, replies, max_seq_len=model.config.max_seq_len)
    return compute_row_scores(model, rows, batch_size=batch_size)


def compute_reply_logps(
    model: GPT,
    chat: ChatFormat,
    prompts: Sequence[Sequence[Message]],
    replies: Sequence[str],
    *,
    batch_size: int = DEFAULT_BATCH_SIZE,
) -> Float64Array:
    """log p(reply and its end | prompt) in nats: float64 [N]. Raises like `score_replies`."""
    rows = _encode_replies(chat, prompts, replies, max_seq_len=model.config.max_seq_len)
    return compute_row_logps(model, rows, batch_size=batch_size)


def compute_row_scores(
    model: RewardModel, rows: Sequence[ReplyRow], *, batch_size: int = DEFAULT_BATCH_SIZE
) -> Float64Array:
    """The reward of each row, read at its last token: float64 [N]."""

    def score(batch: RowBatch) -> Tensor:
        return model.compute_scores(batch.input_ids, batch.last)

    return _run(model, model.device, rows, score, batch_size=batch_size)


def compute_row_logps(
    model: GPT, rows: Sequence[ReplyRow], *, batch_size: int = DEFAULT_BATCH_SIZE
) -> Float64Array:
    """log p of each row's reply, its end included, given its prompt; in nats: float64 [N]."""

    def sum_up(batch: RowBatch) -> Tensor:
        source = (model.compute_hidden(batch.input_ids), model.head_weight)
        return sum_logps(compute_logprobs(source, batch.labels, softcap=model.config.logit_softcap))

    return _run(model, model.device, rows, sum_up, batch_size=batch_size)


def _run(
    model: nn.Module,
    device: torch.device,
    rows: Sequence[ReplyRow],
    function: Callable[[RowBatch], Tensor],
    *,
    batch_size: int,
) -> Float64Array:
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}. Typical: 16 to 256 rows.")
    # Longest first: what does not fit into memory fails at once. A stable sort: the same rows, the same sums.
    order = sorted(range(len(rows)), key=lambda number: -len(rows[number].ids))
    results = np.zeros(len(rows))
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for at in range(0, len(order), batch_size):
                numbers = order[at : at + batch_size]
                # What is padded with does not matter.
                batch = build_rows([rows[number] for number in numbers], pad_id=0).to(device)
                results[numbers] = function(batch).double().cpu().numpy()
    finally:
        model.train(was_training)
    return results


def _encode_replies(
    chat: ChatFormat, prompts: Sequence[Sequence[Message]], replies: Sequence[str], *, max_seq_len: int
) -> list[ReplyRow]:
    rows = []
    for number, (prompt, reply) in enumerate(zip(prompts, replies, strict=True)):
        row = encode_row(chat, prompt, reply)
        if len(row.ids) > max_seq_len:
            raise DataError(
                f"Reply {number} and its prompt have {len(row.ids)} tokens, the context {max_seq_len}. "
                "Shorten one of them, or take a model with a longer context."
            )
        rows.append(row)
    return rows
