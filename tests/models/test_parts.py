"""The parts of a GPT: every right answer passes, every wrong one is named, the pass through them is a GPT."""

import ast
import dataclasses
import importlib
import subprocess
import sys

import pytest
import torch
from torch.testing import assert_close

from nn2llm.core.errors import ConfigError
from nn2llm.generation.sampling import SamplingConfig, apply_sampling
from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.models.parts import PARTS, PartError, RunShape, find_part
from nn2llm.models.parts.checking import check_part, check_parts
from nn2llm.models.parts.checks import CHECKS
from nn2llm.models.parts.checks_training import adamw_step, next_token_probabilities
from nn2llm.models.parts.forward import PartsForward
from nn2llm.models.parts.loading import calls_print, load_functions, load_part
from nn2llm.models.parts.rehearsal import rehearse
from nn2llm.optim.adam import AdamW
from tests.models.part_answers import RIGHT, WRONG, attention, source

RIGHT_CASES = [(name, number) for name in RIGHT for number in range(len(RIGHT[name]))]


def test_every_part_has_checks_answers_and_a_library_symbol():
    assert CHECKS.keys() == PARTS.keys() == RIGHT.keys()
    for part in PARTS.values():
        module, _, symbol = part.library.partition(":")
        found = importlib.import_module(module)
        for name in symbol.split("."):
            found = getattr(found, name)
        assert callable(found)


def test_signatures_are_those_of_the_answers():
    for name, texts in RIGHT.items():
        for number in range(len(texts)):
            tree = ast.parse(source(name, texts[number]).text)
            written = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
            for signature, function in zip(PARTS[name].signatures, PARTS[name].functions, strict=True):
                arguments = ", ".join(argument.arg for argument in written[function].args.args)
                assert signature == f"{function}({arguments})"


def test_no_function_belongs_to_two_parts():
    names = [function for part in PARTS.values() for function in part.functions]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("name", "number"), RIGHT_CASES)
def test_a_right_answer_passes_whatever_the_numbers(name, number):
    for seed in range(8):
        assert check_part(source(name, RIGHT[name][number]), seed=seed) == len(CHECKS[name])


@pytest.mark.parametrize(("name", "text", "words"), WRONG)
def test_a_wrong_answer_is_named(name, text, words):
    with pytest.raises(PartError) as raised:
        check_part(source(name, text, slug="a-lesson", exercise="an-exercise"), seed=1)
    message = str(raised.value)
    assert words in message
    assert f"Your part {name} " in message
    assert "nn2llm learn check a-lesson an-exercise" in message
    assert ("leave out --mine" if name == "sampling" else f"--mine-without {name}") in message
    assert "\n" not in message


def test_the_message_says_what_was_called_returned_and_expected():
    with pytest.raises(PartError) as raised:
        check_part(source("attention", attention(masking="pass")), seed=1)
    message = str(raised.value)
    assert "check 'a causal mask' fails" in message
    assert "scaled_dot_product_attention(query=float32 (2, 3, 5, 16), key=float32 (2, 3, 5, 16), " in message
    assert "mask=bool (5, 5)) returned float32 (2, 3, 5, 16) [" in message
    assert "expected float32 (2, 3, 5, 16) [" in message
    assert "the largest difference is" in message
    assert "Mend mygpt/attention.py" in message  # no exercise is known


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def scaled_dot_product_attention(query:\n", "SyntaxError"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module', in line 1 of"),
        ("raise SystemExit(0)", "it ends the program (exit), in line 1 of"),
        ("def attention(q, k, v, m):\n    return v", "has no function scaled_dot_product_attention(query,"),
        ("scaled_dot_product_attention = 3", "has no function"),
    ],
)
def test_a_part_that_cannot_be_loaded_is_refused(text, words):
    with pytest.raises(PartError, match="Your part attention") as raised:
        load_part(source("attention", text))
    assert words in str(raised.value)


def test_code_that_raises_is_said_with_its_own_line():
    text = "def helper(x):\n    return x.no_such\ndef gelu(x):\n    return helper(x)"
    with pytest.raises(PartError) as raised:
        check_part(source("gelu", text))
    assert "AttributeError" in str(raised.value)
    assert "in line 2 of mygpt/gelu.py" in str(raised.value)


def test_fresh_numbers_each_time_and_the_run_s_own_stay():
    remembered = "import torch\nseen = []\ndef gelu(x):\n    seen.append(x)\n    torch.rand(3)\n" \
        "    return torch.nn.functional.gelu(x)\n"  # fmt: skip
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = []
    for _ in range(2):
        check_part(source("gelu", remembered))
        first.append(sys.modules["mygpt_part_gelu"].seen[0].detach().clone())
    assert not torch.equal(*first)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("torch.set_default_dtype(torch.float64)", r"torch\.set_default_dtype\(torch\.float64\)"),
        ("torch.set_grad_enabled(False)", r"torch\.set_grad_enabled\(False\)"),
    ],
)
@pytest.mark.parametrize("when", ["loaded", "called"])
def test_a_part_may_not_change_torch_for_the_whole_program(line, words, when):
    gelu = "def gelu(x):\n    y = torch.nn.functional.gelu(x)\n"
    last = "    return y\n" if when == "loaded" else f"    {line}\n    return y\n"
    text = f"import torch\n{line if when == 'loaded' else ''}\n{gelu}{last}"
    with pytest.raises(PartError, match=f"changes torch for the whole program: {words}") as raised:
        check_part(source("gelu", text))
    assert "Take that out" in str(raised.value)
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("text", ["while True: pass", "def gelu(x):\n    while True:\n        x = x + 1"])
def test_a_loop_that_never_ends_is_ended(monkeypatch, text):
    monkeypatch.setattr("nn2llm.models.parts.loading.TIME_LIMIT_S", 0.05)
    monkeypatch.setattr("nn2llm.models.parts.checking.TIME_LIMIT_S", 0.05)
    with pytest.raises(PartError, match=r"Your part gelu .*not done after 0\.05 s; does a loop never end\?"):
        check_part(source("gelu", text))


def test_what_a_part_prints_is_left_out(capsys):
    loud = source(
        "gelu", "import torch\ndef gelu(x):\n    print('here')\n    return torch.nn.functional.gelu(x)"
    )
    check_part(loud)
    assert capsys.readouterr().out == ""
    assert calls_print(loud)
    assert not calls_print(source("gelu"))


def test_files_that_a_part_deletes_come_back(tmp_path):
    files = {"gelu": f"import os\nos.remove(__file__)\n{source('gelu').text}", "rope": source("rope").text}
    sources = {
        name: dataclasses.replace(source(name, text), path=str(tmp_path / f"{name}.py"))
        for name, text in files.items()
    }
    for one in sources.values():
        (tmp_path / f"{one.name}.py").write_text(one.text)
    with pytest.raises(PartError, match=r"Your part gelu deletes files: .*gelu\.py had to be written again"):
        check_parts(sources)
    assert (tmp_path / "gelu.py").read_text() == sources["gelu"].text


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (
            "transformer_block",
            "def transformer_block(x, attention, feed_forward, attention_norm, feed_forward_norm):\n"
            "    x += attention(attention_norm(x))\n    return x + feed_forward(feed_forward_norm(x))",
            "changed x itself",
        ),
        (
            "gelu",
            "import torch\ndef gelu(x):\n    return torch.tensor(x.numpy())",
            "NumPy cannot carry gradients",
        ),
        ("gelu", "def gelu(x):\n    exit()", "it ends the program (exit), in line 2"),
        ("gelu", "def gelu(x):\n    return x.detach().numpy()", "a tensor is wanted, not ndarray"),
    ],
)
def test_usual_surprises_are_said_plainly(name, text, words):
    with pytest.raises(PartError) as raised:
        check_part(source(name, text))
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_numbers_that_differ_are_said_where_the_first_ones_are_right():
    text = source("causal_mask").text + "\n_own = causal_mask\ndef causal_mask(n):\n" \
        "    mask = _own(n)\n    mask[-1, 0] = False\n    return mask\n"  # fmt: skip
    with pytest.raises(PartError, match=r"1 of 16 differ; the first is at \[3, 0\]: False, not True"):
        check_part(source("causal_mask", text))


# --- all together, at the size of a run ---------------------------------------------------------------------

FITS_SMALL = {
    "causal_mask": "import torch\ndef causal_mask(n):\n    return torch.ones(7, 7).tril().bool()[:n, :n]",
    "swiglu": "def swiglu(gate, value):\n    assert len(gate) < 6, 'two rows'\n"
    "    return gate * gate.sigmoid() * value",
    "gelu": "import torch\ndef gelu(x):\n    y = torch.nn.functional.gelu(x)\n"
    "    return y if x.ndim < 3 or x.shape[1] < 8 else y * 0.9",
    "token_embedding": "def embed_tokens(ids, table):\n"
    "    return table[ids] if ids.shape[1] < 9 else table[ids].detach()",
}


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("causal_mask", "qwen", "agrees in small, but not on 6 rows of 12 tokens"),
        ("swiglu", "qwen", "failed on 6 rows of 12 tokens, the size of this run: AssertionError: two rows"),
        ("gelu", "gpt2", "agrees in small, but not on 6 rows of 12 tokens"),
        ("token_embedding", "gpt2", "the size of this run: the gradient of the weights is off by"),
    ],
)
def test_a_part_that_fits_only_the_checks_is_named_at_the_run_s_size(name, shape, words):
    mine = {"linear": source("linear"), name: source(name, FITS_SMALL[name])}
    check_parts(mine)
    config = build(shape, max_seq_len=12).config
    with pytest.raises(PartError) as raised:
        rehearse(mine, config, num_rows=6, num_tokens=12)
    assert f"Your part {name} " in str(raised.value)
    assert words in str(raised.value)


@pytest.mark.parametrize("shape", ["qwen", "gpt2", "grouped", "original", "dropout"])
def test_right_parts_pass_at_the_run_s_size(shape):
    config = build(shape).config
    run = RunShape(model=config, schedule="cosine", clips=True)
    before = torch.get_rng_state()
    rehearse({n: source(n) for n, part in PARTS.items() if part.used(run)}, config, num_rows=3, num_tokens=8)
    assert torch.equal(before, torch.get_rng_state())


def test_an_unknown_part_is_answered_by_the_nearest():
    assert find_part("cross-entropy") is PARTS["cross_entropy"]
    with pytest.raises(ConfigError, match=r"no part 'atention' of a GPT\. Did you mean 'attention'"):
        find_part("atention")


def test_the_list_of_parts_needs_no_torch():
    code = "import sys, nn2llm.models.parts, nn2llm.course.mygpt; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- the references of the checks are the library -----------------------------------------------------------


def test_adamw_step_is_the_library_s_adamw():
    weight = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    optimizer = AdamW([weight], lr=0.05, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    own, m, v = weight.detach().clone(), torch.zeros(4, 3), torch.zeros(4, 3)
    for step in range(1, 5):
        weight.grad = torch.randn(4, 3, generator=torch.Generator().manual_seed(step))
        own, m, v = adamw_step(own, weight.grad, m, v, step, 0.05, 0.9, 0.95, 1e-8, 0.1)
        optimizer.step()
    assert_close(own, weight.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("top_k", [None, 1, 3, 50])
def test_next_token_probabilities_are_the_library_s(top_k):
    logits = torch.randn(3, 7, generator=torch.Generator().manual_seed(1))
    rules = SamplingConfig(temperature=0.7, top_k=top_k)
    expected = apply_sampling(logits, rules).softmax(dim=-1)
    assert_close(next_token_probabilities(logits, 0.7, top_k), expected)


# --- the pass through parts ---------------------------------------------------------------------------------

SHAPES = {
    "qwen": {},
    "gpt2": {
        "norm": "layernorm", "position": "learned", "feed_forward": "gelu", "qk_norm": False, "bias": True,
        "tie_embeddings": True, "init": "gpt2",
    },
    "grouped": {"n_kv_head": 2, "window": 4, "logit_softcap": 10.0, "head_dim": 6},
    "original": {
        "norm": "layernorm", "position": "sinusoidal", "feed_forward": "relu", "norm_position": "post",
        "qk_norm": False, "init": "gpt2",
    },
    "dropout": {"dropout": 0.1, "feed_forward": "gelu_tanh", "position": "none", "init": "gpt2"},
}  # fmt: skip
DOCUMENTS = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 2], [0, 0, 0, 0, 0, 1, 2, 2], [0] * 8])


def build(shape: str, **changes) -> GPT:
    torch.manual_seed(0)
    config = {"vocab_size": 11, "max_seq_len": 8, "n_layer": 2, "n_head": 4, "n_embd": 16, **SHAPES[shape]}
    model = GPT(GPTConfig(**{**config, **changes}))
    with torch.no_grad():
        for parameter in model.parameters():  # "scaled" begins with zeros, which hide differences
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model


def run_both(model: GPT, functions, documents):
    """(loss, gradients) of the model and of the pass through parts."""
    draw = torch.Generator().manual_seed(2)
    ids, labels = (torch.randint(11, (3, 8), generator=draw) for _ in range(2))
    labels[0, :3] = -100
    forward = PartsForward(model, functions)
    results = []
    for one in (model, forward):
        torch.manual_seed(5)  # of dropout
        hidden = one.compute_hidden(ids, document_ids=documents)
        loss = one.compute_loss(hidden, labels)
        model.zero_grad()
        loss.backward()
        results.append((loss.detach(), [p.grad.clone() for p in model.parameters()]))
    return results


@pytest.mark.parametrize("documents", [None, DOCUMENTS], ids=["one", "documents"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("whose", ["library", "learner"])
def test_the_pass_through_parts_is_the_gpt(shape, documents, whose):
    model = build(shape).train()
    run = RunShape(model=model.config, schedule="cosine", clips=True)
    used = {name: source(name) for name, part in PARTS.items() if part.used(run) and whose == "learner"}
    (loss, gradients), (own_loss, own_gradients) = run_both(model, load_functions(used), documents)
    assert_close(own_loss, loss, rtol=1e-5, atol=1e-6)
    assert_close(own_gradients, gradients, rtol=1e-3, atol=1e-5)


COUNTED = {
    "token_embedding": ("qwen", 1),
    "sinusoidal_positions": ("original", 1),
    "causal_mask": ("qwen", 1),
    "layer_norm": ("gpt2", 5),
    "rms_norm": ("qwen", 9),  # 2 layers of 2 norms and 2 of queries and keys, and the last
    "linear": ("qwen", 10),
    "heads": ("qwen", 8),
    "rope": ("qwen", 4),
    "attention": ("qwen", 2),
    "gelu": ("gpt2", 2),
    "swiglu": ("qwen", 2),
    "feed_forward": ("gpt2", 2),
    "transformer_block": ("qwen", 2),
    "gpt": ("qwen", 1),
    "cross_entropy": ("qwen", 1),
}


@pytest.mark.parametrize("name", COUNTED)
def test_each_part_of_the_model_is_really_called(name):
    shape, times = COUNTED[name]
    model, calls = build(shape), []
    assert PARTS[name].used(RunShape(model=model.config, schedule="cosine", clips=True))

    def count(function):
        return lambda *arguments: (calls.append(1), function(*arguments))[1]

    functions = {key: count(function) for key, function in load_part(source(name)).items()}
    run_both(model, functions, None)
    assert len(calls) == times


def test_gradient_checkpointing_changes_nothing():
    model = build("qwen").train()
    functions = load_functions({"attention": source("attention")})
    _, (_, plain) = run_both(model, functions, None)
    model.gradient_checkpointing = True
    _, (_, recomputed) = run_both(model, functions, None)
    assert_close(recomputed, plain)


def test_a_sequence_that_is_too_long_is_refused():
    with pytest.raises(ValueError, match="9 tokens do not fit: max_seq_len is 8"):
        PartsForward(build("qwen"), {}).compute_hidden(torch.zeros(1, 9, dtype=torch.long))


def test_labels_that_are_all_ignored_give_a_loss_of_zero():
    model = build("qwen")
    forward = PartsForward(model, load_functions({"cross_entropy": source("cross_entropy")}))
    hidden = forward.compute_hidden(torch.zeros(1, 3, dtype=torch.long))
    assert forward.compute_loss(hidden, torch.full((1, 3), -100)).item() == 0


def test_what_a_shape_calls():
    def called(**changes):
        run = {"model": GPTConfig(vocab_size=5), "schedule": "cooldown", "clips": False}
        model = dataclasses.replace(run["model"], **changes)
        return {name for name, part in PARTS.items() if part.used(RunShape(**{**run, "model": model}))}

    assert {"rms_norm", "rope", "swiglu", "attention", "adamw"} <= called()
    assert called().isdisjoint({"layer_norm", "gelu", "cosine_schedule", "gradient_clipping", "sampling"})
    assert {"layer_norm", "gelu", "feed_forward"} <= called(norm="layernorm", feed_forward="gelu")
    assert "attention" not in called(dropout=0.1)  # its weights would have to be dropped


def test_all_at_once():
    assert check_parts({name: source(name) for name in PARTS}) == sum(map(len, CHECKS.values()))
