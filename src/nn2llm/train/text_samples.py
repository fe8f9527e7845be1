"""What a model writes while it is trained, from the beginning of a text.

Read generation/engine.py before; reply_samples.py does the same for chat models. Used by pretrain.py.
"""

from nn2llm.core.threads import few_threads
from nn2llm.data.prepare import TokenDataset
from nn2llm.generation.engine import generate
from nn2llm.generation.sampling import SamplingConfig
from nn2llm.models.gpt import GPT
from nn2llm.tokenizers import Tokenizer
from nn2llm.train.pretrain_config import PretrainConfig

__all__ = ["write_text_sample"]


def write_text_sample(model: GPT, tokenizer: Tokenizer, dataset: TokenDataset, config: PretrainConfig) -> str:
    """At most `sample_tokens` tokens at temperature 0.8, after the end-of-text mark or the first token.

    With `document_mask` the text ends where its document does.
    """
    with few_threads(model):
        result = generate(
            model,
            [dataset.first_prompt],
            max_new_tokens=config.sample_tokens,
            sampling=SamplingConfig(temperature=0.8),
            tokenizer=tokenizer,
            # with masks, it has never seen one document after another
            stop_token_ids=[dataset.end_of_text_id] if config.document_mask else (),
            seed=config.seed,
            on_full="slide",
        )[0]
    return result.text or ""
