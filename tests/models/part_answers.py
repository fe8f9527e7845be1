"""What learners write as parts of a GPT: right answers in several styles; wrong ones, and what must be said.

Texts, because a part is a file. Used by test_parts.py, tests/train/test_mine.py and tests/cli.
"""

from textwrap import dedent

from nn2llm.models.parts import PartSource

RIGHT: dict[str, list[str]] = {
    "token_embedding": [
        "def embed_tokens(token_ids, table):\n    return table[token_ids]",
        """
        import torch
        def embed_tokens(token_ids, table):
            one_hot = torch.nn.functional.one_hot(token_ids, len(table)).to(table.dtype)
            return one_hot @ table
        """,
    ],
    "sinusoidal_positions": [
        """
        import math, torch
        def sinusoidal_positions(max_seq_len, n_embd):
            table = torch.zeros(max_seq_len, n_embd)
            for t in range(max_seq_len):
                for i in range(0, n_embd, 2):
                    angle = t / 10000 ** (i / n_embd)
                    table[t, i], table[t, i + 1] = math.sin(angle), math.cos(angle)
            return table
        """,
        """
        import torch
        def sinusoidal_positions(max_seq_len, n_embd):
            t = torch.arange(max_seq_len)[:, None]
            w = torch.exp(torch.arange(0, n_embd, 2) * (-torch.log(torch.tensor(10000.0)) / n_embd))
            return torch.stack((torch.sin(t * w), torch.cos(t * w)), dim=-1).flatten(1)
        """,
    ],
    "causal_mask": [
        "import torch\ndef causal_mask(num_tokens):\n"
        "    return torch.tril(torch.ones(num_tokens, num_tokens)).bool()",
        "import torch\ndef causal_mask(num_tokens):\n"
        "    t = torch.arange(num_tokens)\n    return t[None, :] <= t[:, None]",
    ],
    "layer_norm": [
        """
        def layer_norm(x, weight, bias, eps):
            mean = x.mean(dim=-1, keepdim=True)
            var = x.var(dim=-1, keepdim=True, unbiased=False)
            y = (x - mean) / (var + eps).sqrt() * weight
            return y if bias is None else y + bias
        """,
        """
        import torch.nn.functional as F
        def layer_norm(x, weight, bias, eps):
            return F.layer_norm(x, weight.shape, weight, bias, eps)
        """,
    ],
    "rms_norm": [
        """
        import torch
        def rms_norm(x, weight, eps):
            return weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)
        """,
    ],
    "linear": [
        """
        def linear(x, weight, bias):
            y = x @ weight.T
            return y + bias if bias is not None else y
        """,
        """
        import torch
        def linear(x, weight, bias):
            y = torch.einsum("...i,oi->...o", x, weight)
            return y if bias is None else y + bias
        """,
    ],
    "heads": [
        """
        def split_heads(x, n_head):
            B, T, C = x.shape
            return x.view(B, T, n_head, C // n_head).transpose(1, 2)
        def merge_heads(heads):
            B, H, T, D = heads.shape
            return heads.transpose(1, 2).contiguous().view(B, T, H * D)
        """,
        """
        import torch
        def split_heads(x, n_head):
            return torch.stack(x.chunk(n_head, dim=-1), dim=1)
        def merge_heads(heads):
            return torch.cat(heads.unbind(dim=1), dim=-1)
        """,
    ],
    "rope": [
        """
        import torch
        def apply_rope(x, cos, sin):
            a, b = x.chunk(2, dim=-1)
            return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)
        """,
        """
        import torch
        def apply_rope(x, cos, sin):
            a, b = x.chunk(2, dim=-1)
            z = torch.complex(a, b) * torch.complex(cos, sin)
            return torch.cat((z.real, z.imag), dim=-1)
        """,
    ],
    "attention": [
        """
        import math, torch
        def scaled_dot_product_attention(query, key, value, mask):
            scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
            if mask is not None:
                scores = scores.masked_fill(~mask, float("-inf"))
            return torch.softmax(scores, dim=-1) @ value
        """,
        # slow but right: a loop over rows, heads and queries
        """
        import torch
        def scaled_dot_product_attention(query, key, value, mask):
            B, H, T, D = query.shape
            S = key.shape[2]
            if mask is None:
                mask = torch.ones(T, S, dtype=torch.bool)
            mask = mask.expand(B, H, T, S)
            rows = []
            for b in range(B):
                for h in range(H):
                    for t in range(T):
                        allowed = mask[b, h, t]
                        scores = key[b, h][allowed] @ query[b, h, t] / D ** 0.5
                        weights = (scores - scores.max()).exp()
                        rows.append((weights / weights.sum()) @ value[b, h][allowed])
            return torch.stack(rows).view(B, H, T, D)
        """,
        """
        import torch.nn.functional as F
        def scaled_dot_product_attention(query, key, value, mask):
            return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        """,
    ],
    "gelu": [
        "import torch\ndef gelu(x):\n    return x * torch.distributions.Normal(0.0, 1.0).cdf(x)",
        "import torch.nn.functional as F\ndef gelu(x):\n    return F.gelu(x)",
    ],
    "swiglu": ["import torch\ndef swiglu(gate, value):\n    return gate * torch.sigmoid(gate) * value"],
    "feed_forward": [
        """
        def feed_forward(x, up_weight, up_bias, down_weight, down_bias, activation):
            h = x @ up_weight.T
            if up_bias is not None:
                h = h + up_bias
            h = activation(h) @ down_weight.T
            return h if down_bias is None else h + down_bias
        """,
    ],
    "transformer_block": [
        """
        def transformer_block(x, attention, feed_forward, attention_norm, feed_forward_norm):
            x = x + attention(attention_norm(x))
            return x + feed_forward(feed_forward_norm(x))
        """,
    ],
    "gpt": [
        """
        def gpt_forward(token_ids, embed, blocks, final_norm, head):
            x = embed(token_ids)
            for block in blocks:
                x = block(x)
            return head(final_norm(x))
        """,
    ],
    "cross_entropy": [
        """
        def cross_entropy(logits, labels):
            shifted = logits - logits.max(dim=-1, keepdim=True).values
            log_probs = shifted - shifted.exp().sum(dim=-1, keepdim=True).log()
            return -log_probs[range(len(labels)), labels].mean()
        """,
        "import torch.nn.functional as F\ndef cross_entropy(logits, labels):\n"
        "    return F.cross_entropy(logits, labels)",
    ],
    "training_step": [
        """
        def training_step(compute_loss, batch, optimizer):
            optimizer.zero_grad()
            loss = compute_loss(batch)
            loss.backward()
            optimizer.step()
            return loss
        """,
        """
        def training_step(compute_loss, batch, optimizer):
            loss = compute_loss(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.item()
        """,
    ],
    "gradient_clipping": [
        """
        import torch
        def clip_gradients(gradients, max_norm):
            norm = torch.sqrt(sum((g ** 2).sum() for g in gradients))
            if norm <= max_norm:
                return [g.clone() for g in gradients]
            return [g * (max_norm / norm) for g in gradients]
        """,
    ],
    "adamw": [
        """
        def adamw_step(weight, gradient, m, v, step, lr, beta1, beta2, eps, weight_decay):
            m = beta1 * m + (1 - beta1) * gradient
            v = beta2 * v + (1 - beta2) * gradient ** 2
            m_hat = m / (1 - beta1 ** step)
            v_hat = v / (1 - beta2 ** step)
            weight = weight - lr * weight_decay * weight - lr * m_hat / (v_hat ** 0.5 + eps)
            return weight, m, v
        """,
    ],
    "cosine_schedule": [
        """
        import math
        def cosine_schedule(step, total_steps, warmup_steps, floor):
            if step < warmup_steps:
                return (step + 1) / warmup_steps
            start = max(warmup_steps - 1, 0)
            if total_steps - 1 <= start:
                return floor
            progress = (step - start) / (total_steps - 1 - start)
            return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))
        """,
    ],
    "sampling": [
        """
        import torch
        def next_token_probabilities(logits, temperature, top_k):
            probs = torch.softmax(logits / temperature, dim=-1)
            if top_k is not None:
                kept = torch.topk(probs, min(top_k, probs.shape[-1]), dim=-1).indices
                mask = torch.zeros_like(probs).scatter(-1, kept, 1.0)
                probs = probs * mask
                probs = probs / probs.sum(dim=-1, keepdim=True)
            return probs
        """,
    ],
}

_ATTENTION = """
import math, torch
def scaled_dot_product_attention(query, key, value, mask):
    scores = query @ key.transpose(-2, -1){scale}
    if mask is not None:
        {masking}
    return {weights} @ value
"""
_SCALE, _MASKING = " / math.sqrt(query.shape[-1])", 'scores = scores.masked_fill(~mask, float("-inf"))'
_SOFTMAX = "torch.softmax(scores, dim=-1)"


def attention(scale: str = _SCALE, masking: str = _MASKING, weights: str = _SOFTMAX) -> str:
    """Attention with one of its lines replaced."""
    return _ATTENTION.format(scale=scale, masking=masking, weights=weights)


def change(name: str, old: str, new: str) -> str:
    """The first right answer with one piece replaced."""
    assert old in RIGHT[name][0]
    return RIGHT[name][0].replace(old, new)


WRONG: list[tuple[str, str, str]] = [
    ("attention", attention(scale=""), "'no mask'"),
    ("attention", attention(scale=" / query.shape[-1]"), "'no mask'"),
    ("attention", attention(weights="torch.softmax(scores, dim=-2)"), "'no mask'"),
    ("attention", attention(masking="pass"), "'a causal mask'"),
    ("attention", attention(masking=_MASKING.replace("~", "")), "'a causal mask'"),
    ("attention", attention(masking="scores = scores * mask"), "'a causal mask'"),
    (
        "attention",
        attention(masking="scores = scores.masked_fill(~torch.ones_like(mask).tril(), -math.inf)"),
        "'a mask for each row of the batch'",
    ),
    (
        "attention",
        attention(weights="(scores.exp() / scores.exp().sum(-1, keepdim=True))"),
        "NaN",
    ),
    (
        "attention",
        attention(weights="torch.softmax(scores.detach(), dim=-1)"),
        "gradient of query is missing",
    ),
    (
        "attention",
        attention(weights=_SOFTMAX).replace("@ value", "@ value.detach()"),
        "gradient of value is missing",
    ),
    ("attention", attention().replace("scores = query", "query *= 1.5; scores = query"), "'no mask'"),
    (
        "attention",
        attention().replace("scores = query", "query.data *= 1.5; query = query / 1.5; scores = query"),
        "changed query itself",
    ),
    ("attention", attention().replace("    return", "    result ="), "returned None"),
    ("attention", attention().replace("@ value", "@ key"), "'no mask'"),
    ("attention", attention().replace("return", "return 0 *"), "'no mask'"),
    ("causal_mask", "import torch\ndef causal_mask(n):\n    return torch.ones(n, n).triu().bool()", "differ"),
    (
        "causal_mask",
        "import torch\ndef causal_mask(n):\n    return torch.ones(n, n).tril(-1).bool()",
        "differ",
    ),
    ("causal_mask", "import torch\ndef causal_mask(n):\n    return torch.ones(n, n).tril()", "dtype"),
    ("layer_norm", change("layer_norm", "unbiased=False", "unbiased=True"), "'random vectors'"),
    ("layer_norm", change("layer_norm", "(var + eps).sqrt()", "(var.sqrt() + eps)"), "eps stands"),
    ("layer_norm", change("layer_norm", "dim=-1", "dim=1"), "'random vectors'"),
    ("layer_norm", change("layer_norm", "y if bias is None else ", ""), "'no bias'"),
    ("rms_norm", change("rms_norm", ".mean(", ".sum("), "'random vectors'"),
    ("rms_norm", change("rms_norm", " + eps", ""), "eps stands"),
    ("rms_norm", change("rms_norm", "weight * ", ""), "'random vectors'"),
    (
        "linear",
        "def linear(x, weight, bias):\n    y = x @ weight\n    return y if bias is None else y + bias",
        "'a square weight'",
    ),
    (
        "heads",
        change(
            "heads",
            "x.view(B, T, n_head, C // n_head).transpose(1, 2)",
            "x.reshape(B, n_head, T, C // n_head)",
        ),
        "'split'",
    ),
    ("heads", change("heads", "heads.transpose(1, 2).contiguous()", "heads.contiguous()"), "'merge'"),
    ("rope", change("rope", "a * cos - b", "a * cos + b"), "turned"),
    (
        "gelu",
        "import torch.nn.functional as F\ndef gelu(x):\n    return F.gelu(x, approximate='tanh')",
        "'random",
    ),
    ("gelu", "import torch\ndef gelu(x):\n    return x * torch.sigmoid(1.702 * x)", "'random numbers'"),
    (
        "swiglu",
        "import torch\ndef swiglu(gate, value):\n    return value * torch.sigmoid(value) * gate",
        "'random",
    ),
    (
        "transformer_block",
        change(
            "transformer_block",
            "x = x + attention(attention_norm(x))",
            "x = attention_norm(x + attention(x))",
        ),
        "pre-norm",
    ),
    ("transformer_block", change("transformer_block", "return x + ", "return "), "pre-norm"),
    ("gpt", change("gpt", "final_norm(x)", "x"), "'every block, in order'"),
    ("gpt", change("gpt", "in blocks", "in reversed(blocks)"), "'every block, in order'"),
    ("gpt", change("gpt", "embed(token_ids)", "embed(token_ids).detach()"), "gradient"),
    ("cross_entropy", change("cross_entropy", ".mean()", ".sum()"), "'random logits'"),
    (
        "cross_entropy",
        "def cross_entropy(logits, labels):\n    e = logits.exp()\n    p = e / e.sum(-1, keepdim=True)\n"
        "    return -p[range(len(labels)), labels].log().mean()",
        "'large logits'",
    ),
    ("training_step", change("training_step", "optimizer.zero_grad()", "pass"), "after step 1"),
    ("training_step", change("training_step", "optimizer.step()", "pass"), "called 0 times"),
    ("training_step", change("training_step", "return loss", "pass"), "returned no loss"),
    (
        "training_step",
        """
        def training_step(compute_loss, batch, optimizer):
            loss = compute_loss(batch)
            loss.backward()
            optimizer.zero_grad()
            optimizer.step()
            return loss
        """,
        "after step 1",
    ),
    (
        "gradient_clipping",
        "def clip_gradients(gradients, max_norm):\n"
        "    return [g * min(1, max_norm / (g.norm() + 1e-6)) for g in gradients]",
        "above max_norm",
    ),
    ("gradient_clipping", change("gradient_clipping", "if norm <= max_norm:", "if False:"), "below"),
    (
        "gradient_clipping",
        "def clip_gradients(gradients, max_norm):\n"
        "    norm = sum((g ** 2).sum() for g in gradients) ** 0.5\n"
        "    for g in gradients:\n        g *= min(1, max_norm / (norm + 1e-9))\n    return gradients",
        "changed gradients itself",
    ),
    ("adamw", change("adamw", "m / (1 - beta1 ** step)", "m"), "'the first step'"),
    ("adamw", change("adamw", "(v_hat ** 0.5 + eps)", "(v_hat + eps) ** 0.5"), "eps stands outside"),
    ("adamw", change("adamw", "gradient ** 2", "gradient"), "'the first step'"),
    ("adamw", change("adamw", "return weight, m, v", "return weight"), "3 values"),
    (
        "adamw",
        "def adamw_step(weight, gradient, m, v, step, lr, beta1, beta2, eps, weight_decay):\n"
        "    gradient = gradient + weight_decay * weight\n"
        "    m, v = beta1 * m + (1 - beta1) * gradient, beta2 * v + (1 - beta2) * gradient ** 2\n"
        "    s = lr * m / (1 - beta1 ** step) / ((v / (1 - beta2 ** step)) ** 0.5 + eps)\n"
        "    return weight - s, m, v",
        "the first step",
    ),
    ("cosine_schedule", change("cosine_schedule", "(step + 1) / warmup", "step / warmup"), "warm-up"),
    ("cosine_schedule", change("cosine_schedule", "floor + (1 - floor) * ", ""), "floor"),
    ("sampling", change("sampling", "logits / temperature", "logits * temperature"), "below 1"),
    ("sampling", change("sampling", "probs = probs / probs.sum(dim=-1, keepdim=True)", "pass"), "'top-k'"),
    (
        "token_embedding",
        "def embed_tokens(token_ids, table):\n    return table[token_ids].detach()",
        "no gradient",
    ),
    (
        "sinusoidal_positions",
        change(
            "sinusoidal_positions", "math.sin(angle), math.cos(angle)", "math.cos(angle), math.sin(angle)"
        ),
        "sines",
    ),
    ("feed_forward", change("feed_forward", "activation(h)", "h"), "'with biases'"),
    (
        "feed_forward",
        "import torch.nn.functional as F\n"
        + dedent(RIGHT["feed_forward"][0]).replace("activation(h)", "F.gelu(h)"),
        "'with biases'",
    ),
]
"""(part, text, what its message must say)."""


def source(name: str, text: str | None = None, path: str | None = None, **more: str) -> PartSource:
    """A part, right unless a text is given."""
    return PartSource(
        name=name,
        text=dedent(RIGHT[name][0] if text is None else text).strip() + "\n",
        path=path or f"mygpt/{name}.py",
        **more,
    )
