"""A model that scores: a GPT whose language-model head is replaced by one number a position.

Read models/gpt.py before. As a reward model it is read at the last token of a reply, which is the end-of-turn
token, so that it has seen the whole; as PPO's value model at every position. Trained by train/reward.py, used
by train/ppo.py; taught in `reward-modeling`.

A small GPT that answers a question has no layer left to *check* an answer: on the micro-world the model that
answered 97% of held-out questions told right answers from wrong ones in 53% of pairs when a score head was
trained on it. It does know, though: a wrong answer surprises it. So there may be checking layers above it:
blocks that read its hidden states, which say what comes next, what it had expected before, the token that
did come, and how surprised it was, -log p, while the GPT itself stays frozen and forgets nothing. With two of
them it was 89% (64% to 71% of all choices, where 77% is the best possible). That they see the token itself
took them from 4.5 to 3.8 points below the best; with more prompts, three layers that also see what was
expected, and two passes through the pairs, from 3.0 to 2.3 (each of the three alone: 2.7 to 3.0).

Sources: Ziegler et al. 2019, https://arxiv.org/abs/1909.08593, section 2; Ouyang et al. 2022 (InstructGPT),
https://arxiv.org/abs/2203.02155, section 3.5. Checking layers are our own; that a reward model generalises
better where it stays a language model is shown by Yang et al. 2024, https://arxiv.org/abs/2406.10216.
"""

import math
from collections.abc import Iterator
from typing import Self, cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from nn2llm.core.errors import ConfigError
from nn2llm.losses.cross_entropy import IGNORE_INDEX
from nn2llm.losses.log_probs import compute_logprobs
from nn2llm.models.gpt import GPT, Block
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.nn.norms import build_norm
from nn2llm.nn.trees import TokenTree

__all__ = ["CheckingLayers", "RewardModel"]

_MAX_SURPRISE = 12.0
"""In nats: what is less likely than e^-12 is simply out of the question."""
_SURPRISE_SCALE = 4.0


class CheckingLayers(nn.Module):
    """Blocks above a GPT that see its hidden states, each token, and its surprise at it.

    They begin as the identity: what they see is added up in the residual stream, the token and what was
    expected in its place (the hidden state before it) each turned at random.
    """

    def __init__(self, config: GPTConfig, num_layers: int) -> None:
        super().__init__()
        self.surprise = nn.Linear(1, config.n_embd, bias=False)
        nn.init.normal_(self.surprise.weight, std=0.3)
        self.token = nn.Linear(config.n_embd, config.n_embd, bias=False)
        nn.init.orthogonal_(self.token.weight)
        self.expected = nn.Linear(config.n_embd, config.n_embd, bias=False)
        nn.init.orthogonal_(self.expected.weight)
        self.blocks = nn.ModuleList(Block(config) for _ in range(num_layers))
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear):
                bound = math.sqrt(3 / module.in_features)  # as in GPT.init_weights
                nn.init.uniform_(module.weight, -bound, bound)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for block in self.blocks:
            assert isinstance(block, Block)
            nn.init.zeros_(block.attention.proj.weight)
            nn.init.zeros_(block.feed_forward.down.weight)
        self.norm = build_norm(config.norm, config.n_embd, bias=config.bias)

    def forward(
        self,
        hidden: Float[Tensor, "B T C"],
        expected: Float[Tensor, "B T C"],
        embeddings: Float[Tensor, "B T C"],
        surprise: Float[Tensor, "B T"],
        rope: tuple[Tensor, Tensor] | None,
        mask: Bool[Tensor, "B 1 T T"] | None = None,
        only: Int[Tensor, "B S"] | None = None,
    ) -> Float[Tensor, "B S C"]:
        """Hidden states to read scores from; of the token at each position, `expected` is the hidden state
        that predicted it, `surprise` is in nats. With `only`, those of some positions of each row, else
        S = T: then the last block computes little more than keys and values."""
        scaled = surprise.clamp(max=_MAX_SURPRISE) / _SURPRISE_SCALE
        width = embeddings.shape[-1:]
        x = hidden + self.token(F.rms_norm(embeddings, width)) + self.expected(F.rms_norm(expected, width))
        x = x + self.surprise(-scaled[..., None])
        *lower, last = self.blocks
        for layer, block in enumerate(lower):
            x = block(x, rope, mask, None, layer)
        x = last(x, rope, mask, None, len(lower), only)
        return cast(Tensor, self.norm(x))


class RewardModel(nn.Module):
    """A score for each prefix of a sequence: w · hidden + offset.

    `.gpt` is the body. Without checking layers it has no language-model head, so nothing may be written with
    it; with them it keeps its head and is frozen. `.score` holds w and begins at zero: every reply scores 0,
    and the loss begins at log 2. A preference says nothing about the mean of all scores, so w has no bias;
    `offset` is a buffer, set once after training.

    Raises:
        ConfigError: if the config's vocab_size is still open, num_checking_layers is negative, or above 0 for
            a GPT that normalises after its sublayers or attends in a window.
    """

    def __init__(self, config: GPTConfig, *, num_checking_layers: int = 0) -> None:
        super().__init__()
        if num_checking_layers < 0:
            raise ConfigError(f"num_checking_layers must be at least 0, got {num_checking_layers}.")
        if num_checking_layers and (config.norm_position == "post" or config.window is not None):
            raise ConfigError(
                f"num_checking_layers is {num_checking_layers}, but they need a GPT with norm_position 'pre' "
                "and no window. Set it to 0."
            )
        self.config = config
        self.gpt = GPT(config)
        self.checking: CheckingLayers | None = None
        if num_checking_layers:
            self.gpt.requires_grad_(False)
            self.checking = CheckingLayers(config, num_checking_layers)
        else:
            self.gpt.head = None  # where it is not tied: V × C numbers that nothing would read
        self.score = nn.Linear(config.n_embd, 1, bias=False)
        nn.init.zeros_(self.score.weight)
        self.register_buffer("offset", torch.zeros(()))

    @classmethod
    def from_gpt(cls, gpt: GPT, *, num_checking_layers: int = 0) -> Self:
        """The weights of a GPT (copied), a new score head, and new checking layers, on the same device."""
        model = cls(gpt.config, num_checking_layers=num_checking_layers).to(gpt.device)
        weights = gpt.state_dict()
        if model.gpt.head is None:
            weights.pop("head.weight", None)
        model.gpt.load_state_dict(weights, strict=True)
        return model

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.score.weight.device

    @property
    def num_checking_layers(self) -> int:
        """Blocks above the GPT."""
        return 0 if self.checking is None else len(self.checking.blocks)

    def named_trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """What training moves: all, or what stands above a frozen GPT."""
        return ((name, weight) for name, weight in self.named_parameters() if weight.requires_grad)

    def fused_rows(self) -> dict[str, tuple[int, ...]]:
        """As `GPT.fused_rows`, of what training moves, by this model's names."""
        rows = self.gpt.fused_rows()
        if self.checking is None:
            return {f"gpt.{name}": sizes for name, sizes in rows.items()}
        shape = next(iter(rows.values()))
        names = (f"checking.blocks.{layer}.attention.qkv.weight" for layer in range(self.num_checking_layers))
        return dict.fromkeys(names, shape)

    def compute_values(self, input_ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T"]:
        """The score at each position: of the tokens up to and with it.

        Raises:
            ValueError: if the sequence is longer than the config's max_seq_len.
        """
        if self.checking is not None:
            return self._score(self._check(self.checking, input_ids))
        return self._score(self.gpt.compute_hidden(input_ids))

    def compute_scores(self, input_ids: Int[Tensor, "B T"], last: Int[Tensor, " B"]) -> Float[Tensor, " B"]:
        """The score of each row, read at its position `last`; what stands after it changes nothing.

        Raises:
            ValueError: if the sequence is longer than the config's max_seq_len.
        """
        return self._read(input_ids, last[:, None]).squeeze(1)

    def compute_tree_scores(
        self, input_ids: Int[Tensor, "B T"], tree: TokenTree, ends: Int[Tensor, "B S"]
    ) -> Float[Tensor, "B S"]:
        """The same for replies behind one copy of their prompt, read at the positions `ends`: equal to
        `compute_scores` of each in a row of its own, up to rounding."""
        return self._read(input_ids, ends, tree)

    def _read(
        self, input_ids: Int[Tensor, "B T"], ends: Int[Tensor, "B S"], tree: TokenTree | None = None
    ) -> Float[Tensor, "B S"]:
        if self.checking is not None:
            return self._score(self._check(self.checking, input_ids, tree, ends))
        hidden = self.gpt.compute_hidden(input_ids, tree=tree)
        return self._score(hidden[torch.arange(len(input_ids), device=ends.device)[:, None], ends])

    def _check(
        self,
        checking: CheckingLayers,
        input_ids: Int[Tensor, "B T"],
        tree: TokenTree | None = None,
        only: Int[Tensor, "B S"] | None = None,
    ) -> Float[Tensor, "B S C"]:
        columns = torch.arange(input_ids.shape[1], device=input_ids.device)
        with torch.no_grad():
            hidden = self.gpt.compute_hidden(input_ids, tree=tree)
            labels = input_ids.clone()
            labels[:, 0] = IGNORE_INDEX  # nothing was expected of the first token
            if tree is None:
                expected = hidden.roll(1, dims=1)
            else:
                labels[tree.branches < 0] = IGNORE_INDEX
                expected = hidden.gather(1, tree.list_parents()[..., None].expand_as(hidden))
            expected[:, 0] = 0.0
            surprise = -compute_logprobs(
                (expected, self.gpt.head_weight), labels, softcap=self.config.logit_softcap
            )
            embeddings = self.gpt.token_embedding(input_ids)
        rope = self.gpt.compute_rope(columns if tree is None else tree.positions)
        mask = None if tree is None else tree.build_mask()
        return cast(Tensor, checking(hidden, expected, embeddings, surprise, rope, mask, only))

    def _score(self, hidden: Float[Tensor, "... C"]) -> Float[Tensor, "..."]:
        # In float32 also under autocast: the loss looks at differences, and bf16 knows 3.00 and 3.02.
        with torch.autocast(hidden.device.type, enabled=False):
            scores = F.linear(hidden.to(self.score.weight.dtype), self.score.weight).squeeze(-1)
            return scores + cast(Tensor, self.offset)
