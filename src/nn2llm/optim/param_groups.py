"""Which parameter goes to which optimizer, and which decay.

Muon takes the hidden matrices. AdamW takes the rest: embeddings and head (their rows are tokens, each with
a gradient of its own, so there is no common matrix to orthogonalise), tensors that are no matrices, and
vectors. Norm gains and biases do not decay: pulling them to zero has no reason. Each parameter lands in
exactly one group.

Read after muon.py and adam.py. Used by combined.py; taught in `momentum-and-adam`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal, TypedDict

from torch import Tensor

__all__ = ["ParamGroup", "ParamKind", "build_param_groups", "classify_parameter"]

ParamKind = Literal["hidden", "embedding", "head", "vector"]
"""hidden: inside the network, two dimensions or more. vector: norm gains, biases, single numbers."""

EMBEDDING_NAME = re.compile(r"(^|[._])(w[tp]e|\w*emb(ed|eds|edding|eddings)?)([._]|$)")
HEAD_NAME = re.compile(r"(^|\.)(\w*_)?(head|unembed|unembedding)\.")


class ParamGroup(TypedDict, total=False):
    """A group for an optimizer, with `optimizer` and `kind` beside the usual keys."""

    optimizer: Literal["muon", "adamw"]
    kind: ParamKind
    params: list[tuple[str, Tensor]]
    weight_decay: float
    split_rows: tuple[int, ...] | None


def classify_parameter(name: str, parameter: Tensor) -> ParamKind:
    """Decide by dimension, then by name: `token_embedding.weight`, `wte.weight`, `lm_head.weight`,
    `norm.weight`."""
    if parameter.ndim < 2:
        return "vector"
    if HEAD_NAME.search(name):  # first: an unembedding is a head
        return "head"
    if EMBEDDING_NAME.search(name):
        return "embedding"
    return "hidden"


def build_param_groups(
    named_parameters: Iterable[tuple[str, Tensor]],
    *,
    use_muon: bool = True,
    weight_decay: float = 0.1,
    muon_weight_decay: float | None = None,
    split_rows: Mapping[str, tuple[int, ...]] | None = None,
) -> list[ParamGroup]:
    """Sort parameters into groups; empty groups are left out, frozen parameters too.

    A tensor that appears twice (tied embeddings) counts once, under its first name.
    `split_rows` maps the end of a parameter's name to the rows of its blocks, for Muon:
    {"qkv.weight": (128, 128, 128)}.

    Raises:
        ValueError: if nothing is left to train, or `split_rows` names no parameter.
    """
    hidden_decay = weight_decay if muon_weight_decay is None else muon_weight_decay
    groups: dict[object, ParamGroup] = {}
    seen: set[int] = set()
    unused_splits = set(split_rows or {})
    for name, parameter in named_parameters:
        if not parameter.requires_grad or id(parameter) in seen:
            continue
        seen.add(id(parameter))
        kind = classify_parameter(name, parameter)
        group: ParamGroup = {"optimizer": "adamw", "kind": kind, "weight_decay": weight_decay}
        if kind == "vector":
            group["weight_decay"] = 0.0
        elif kind == "hidden" and use_muon and parameter.ndim == 2:
            ending = next((end for end in split_rows or {} if name.endswith(end)), None)
            unused_splits.discard(ending or "")
            group["optimizer"] = "muon"
            group["weight_decay"] = hidden_decay
            group["split_rows"] = split_rows[ending] if split_rows and ending else None
        key = (group["optimizer"], kind, group.get("split_rows"))
        groups.setdefault(key, {**group, "params": []})["params"].append((name, parameter))
    if not groups:
        raise ValueError("no parameter requires a gradient: there is nothing to train. Unfreeze some.")
    if use_muon and unused_splits:
        raise ValueError(f"split_rows names {sorted(unused_splits)}, which end no hidden matrix's name.")
    return list(groups.values())
