"""Named configs, and a whole config from the depth."""

import pytest

from nn2llm.core.errors import ConfigError
from nn2llm.models.accounting import compute_parameters
from nn2llm.train.presets import PRESETS, build_depth_config, build_preset


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_is_a_config_with_a_line_for_the_help(name):
    config = build_preset(name)
    assert config.steps >= 1
    assert (PRESETS[name].__doc__ or "").strip()


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(ConfigError, match=r"unknown preset 'smok'\. Did you mean 'smoke'\?"):
        build_preset("smok")
    with pytest.raises(ConfigError, match=r"unknown preset 'xyz'\. There are: tiny, "):
        build_preset("xyz")


def test_a_deeper_model_is_larger_and_reads_more():
    configs = [build_depth_config(depth) for depth in range(1, 13)]
    sizes = []
    for depth, config in enumerate(configs, 1):
        model = config.model
        assert model.n_layer == depth
        assert model.n_embd % model.n_head == 0
        assert model.n_embd // model.n_head <= 128
        assert config.vocab_size is not None
        assert config.vocab_size >= 256
        assert config.micro_batch_size is None or config.batch_size % config.micro_batch_size == 0
        assert 1 <= config.eval_every <= config.steps
        assert config.num_tokens_in_row == model.max_seq_len
        sizes.append(compute_parameters(_with_vocabulary(config)).total)
    assert sizes == sorted(set(sizes))
    tokens = [config.steps * config.batch_size * config.num_tokens_in_row for config in configs]
    assert tokens == sorted(tokens)


def _with_vocabulary(config):
    from dataclasses import replace

    return replace(config.model, vocab_size=config.vocab_size)


@pytest.mark.parametrize("depth", [0, -3])
def test_no_depth_is_refused(depth):
    with pytest.raises(ConfigError, match=rf"depth must be at least 1, got {depth}\. Typical"):
        build_depth_config(depth)
