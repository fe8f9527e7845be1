"""Tokens written a second: our cached engine beside transformers' `generate` with its cache.

The shape of the preset `tiny`, context 128: 4 layers, 4 heads, 128 wide; prompts of 16 tokens, 100 new ones,
greedy, 1 row and 8, in Qwen3's style (what we train) and GPT-2's. At this size a step is mostly overhead.

Why it is fair: both have the same weights, and must write the same tokens before anything is timed. Both get
one thread, with which either is fastest here: one token is too little work to share. Loading is off the
clock, reading the prompt is on it.
"""

import torch
from torch import Tensor, nn

from benchmarks.measuring import format_table, median, median_ratio, num_threads, time_by_turns
from benchmarks.options import Options
from benchmarks.peers import Shape, build_twin
from nn2llm.generation import SamplingConfig, generate
from nn2llm.models.gpt import GPT

SHAPE = Shape(vocab_size=1024, context=128, batch_size=1, n_layer=4, n_head=4, n_embd=128)
PROMPT_TOKENS, NEW_TOKENS = 16, 100
BATCH_SIZES = (1, 8)
TURNS_PER_REPEAT = 5


def run(options: Options) -> str:
    """Both styles and batch sizes, by turns."""
    rows = []
    turns = TURNS_PER_REPEAT * options.repeats
    with num_threads(1):
        for style, peer in (("qwen3", "transformers Qwen3"), ("gpt2", "transformers GPT-2")):
            model = build_model(style)
            twin = build_twin(model).eval()
            for batch_size in BATCH_SIZES:
                generator = torch.Generator().manual_seed(batch_size)
                prompts = torch.randint(SHAPE.vocab_size, (batch_size, PROMPT_TOKENS), generator=generator)
                check_same_tokens(write(model, prompts), write_transformers(twin, prompts))
                seconds = time_by_turns(
                    {
                        "ours": lambda model=model, prompts=prompts: write(model, prompts),
                        "peer": lambda twin=twin, prompts=prompts: write_transformers(twin, prompts),
                    },
                    turns=turns,
                )
                tokens = batch_size * NEW_TOKENS
                rows.append(
                    (
                        batch_size,
                        peer,
                        f"{tokens / median(seconds['ours']):,.0f}",
                        f"{tokens / median(seconds['peer']):,.0f}",
                        f"**{median_ratio(seconds['peer'], seconds['ours']):.2f}**",
                    )
                )
    header = ("rows", "peer", "ours, tokens/s", "peer, tokens/s", "ours / peer")
    return "\n".join(
        [
            f"Tokens written a second with a KV cache: 4 layers of 128, prompts of {PROMPT_TOKENS}, "
            f"{NEW_TOKENS} new tokens, greedy, one thread, medians of {turns} turns.",
            "",
            format_table(header, rows),
        ]
    )


def build_model(style: str) -> GPT:
    """Random weights, large enough that the best two tokens are not almost equal."""
    model = SHAPE.build(style).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model


def write(model: GPT, prompts: Tensor) -> list[list[int]]:
    """The new tokens of each row, ours."""
    results = generate(
        model, prompts.tolist(), max_new_tokens=NEW_TOKENS, sampling=SamplingConfig(temperature=0)
    )
    return [list(result.ids) for result in results]


def write_transformers(model: nn.Module, prompts: Tensor) -> list[list[int]]:
    """The new tokens of each row, theirs."""
    written = model.generate(
        prompts,
        attention_mask=torch.ones_like(prompts),
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
        use_cache=True,
        eos_token_id=None,
        pad_token_id=0,
    )
    return written[:, prompts.shape[1] :].tolist()


def check_same_tokens(ours: list[list[int]], theirs: list[list[int]]) -> None:
    """Only equal work is compared.

    Raises:
        AssertionError: naming the first token that differs.
    """
    assert len(ours) == len(theirs), f"{len(ours)} rows and {len(theirs)}"
    for row, (left, right) in enumerate(zip(ours, theirs, strict=True)):
        for place, pair in enumerate(zip(left, right, strict=True)):
            assert pair[0] == pair[1], f"row {row}, token {place}: ours {pair[0]}, theirs {pair[1]}"
