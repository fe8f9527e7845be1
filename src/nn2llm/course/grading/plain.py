"""Values taken out of the learner's hands: what came back, as plain data that no code of theirs can alter.

A returned object may be a tensor subclass, a float with an `__eq__` of its own, an endless generator. So
nothing is compared as it came: `freeze` reads it through functions that were looked up before the learner's
text was loaded, and keeps numpy copies. Read evidence.py before; compare.py compares these.
"""

import itertools
import types
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

import numpy as np
import torch

__all__ = ["Array", "Mapping", "Number", "Other", "Plain", "Sequence", "Text", "TooMuch", "freeze"]

MAX_ITEMS = 100_000
"""Of one value with everything inside it; more is not an answer."""
MAX_GENERATED = 1_000
"""Taken from a generator; an endless one is compared by these."""
_MAX_DEPTH = 30

# Looked up once, before any code of the learner runs: patching torch later changes nothing here.
_TENSORS = (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer)
_detach = torch.Tensor.detach
_to = torch.Tensor.to
_cpu = torch.Tensor.cpu
_numpy = torch.Tensor.numpy
_dense = torch.Tensor.to_dense
_resolve = torch.Tensor.resolve_conj
_resolve_neg = torch.Tensor.resolve_neg
_is_complex = torch.Tensor.is_complex
_is_floating = torch.Tensor.is_floating_point
_requires_grad = torch._C.TensorBase.requires_grad.__get__  # type: ignore[attr-defined]
_dtype = torch._C.TensorBase.dtype.__get__  # type: ignore[attr-defined]
_layout = torch._C.TensorBase.layout.__get__  # type: ignore[attr-defined]
_float64, _complex128, _strided = torch.float64, torch.complex128, torch.strided
_no_torch_function = torch._C.DisableTorchFunctionSubclass
_np_array, _np_generic, _ndarray = np.array, np.generic, np.ndarray
_bool, _int64, _np_float64, _np_complex128 = np.bool_, np.int64, np.float64, np.complex128
_islice, _str, _isinstance, _issubclass = itertools.islice, str, isinstance, issubclass
_GENERATORS: tuple[Any, ...] = (
    types.GeneratorType,
    map,
    filter,
    zip,
    enumerate,
    reversed,
    itertools.islice,
    itertools.chain,
    type(iter([])),
    type(iter(())),
    type(iter(range(0))),
)


class TooMuch(Exception):
    """A value that is too large or too deep to be an answer."""


@dataclass(frozen=True, slots=True, eq=False)
class Number:
    """A Python or numpy number, or (in compare.py) a tensor without dimensions."""

    value: Any  # exactly bool, int, float or complex
    kind: Literal["bool", "int", "float", "complex"]
    source: str = ""
    """"tensor float32" where it came as a tensor of shape ()."""
    requires_grad: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Array:
    """A torch tensor or numpy array; `data` is a copy in bool, int64, float64 or complex128."""

    data: Any
    dtype: str
    library: Literal["tensor", "array"]
    requires_grad: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(size) for size in self.data.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """A str, bytes, None, Ellipsis, or a torch/numpy dtype, device, size: compared as written."""

    value: Any
    kind: str


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """A list, tuple, range, generator or set (sorted, where it can be)."""

    items: tuple["Plain", ...]
    kind: str
    cut: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Mapping:
    """A dict, or the fields of a dataclass."""

    items: tuple[tuple["Plain", "Plain"], ...]
    kind: str


@dataclass(frozen=True, slots=True, eq=False)
class Other:
    """Something that cannot be compared: a function, a module, a subclass of a tensor."""

    kind: str
    article: str = "an object of class"


Plain = Number | Array | Text | Sequence | Mapping | Other


def freeze(value: Any, *, take: int = MAX_GENERATED) -> Plain:
    """A copy of `value` as plain data. Of a generator at most `take` items are read (their code runs here).

    Raises:
        TooMuch: more than 100,000 items, or nested deeper than 30.
    """
    return _Freezer(take).freeze(value, 0)


class _Freezer:
    def __init__(self, take: int) -> None:
        self.take = take
        self.left = MAX_ITEMS

    def freeze(self, value: Any, depth: int) -> Plain:
        self.left -= 1
        if self.left < 0:
            raise TooMuch(f"more than {MAX_ITEMS:,} items")
        if depth > _MAX_DEPTH:
            raise TooMuch(f"lists nested deeper than {_MAX_DEPTH}")
        kind = type(value)  # never value.__class__, which may lie
        scalar = _freeze_scalar(value, kind)
        if scalar is not None:
            return scalar
        if kind in _TENSORS:
            return _freeze_tensor(value)
        if kind is _ndarray:
            return _freeze_array(value)
        return self._freeze_container(value, kind, depth + 1)

    def _freeze_container(self, value: Any, kind: type, depth: int) -> Plain:
        if _issubclass(kind, torch.Tensor) or _issubclass(kind, _ndarray):
            return Other(kind.__name__, "a tensor of the class")
        if _issubclass(kind, tuple):  # named tuples, torch.return_types
            return Sequence(self._freeze_all(tuple.__iter__(value), depth), "tuple")
        if _issubclass(kind, list):
            return Sequence(self._freeze_all(list.__iter__(value), depth), "list")
        if _issubclass(kind, (set, frozenset)):
            items = set.__iter__(value) if _issubclass(kind, set) else frozenset.__iter__(value)
            return Sequence(_sort(self._freeze_all(items, depth)), "set")
        if _issubclass(kind, dict):
            return self._freeze_pairs(dict.items(value), "dict", depth)
        if kind is range:
            return Sequence(self._freeze_all(iter(value), depth), "range")
        if kind in _GENERATORS:
            read = self._freeze_all(_islice(value, self.take + 1), depth)
            return Sequence(read[: self.take], "generator", cut=len(read) > self.take)
        if is_dataclass(value) and not _isinstance(value, type):
            pairs = [(field.name, object.__getattribute__(value, field.name)) for field in fields(value)]
            return self._freeze_pairs(pairs, kind.__name__, depth)
        return Other(kind.__name__)

    def _freeze_all(self, items: Iterator[Any], depth: int) -> tuple[Plain, ...]:
        return tuple(self.freeze(item, depth) for item in items)

    def _freeze_pairs(self, pairs: Any, kind: str, depth: int) -> Mapping:
        return Mapping(
            tuple((self.freeze(key, depth), self.freeze(item, depth)) for key, item in pairs), kind
        )


def _freeze_scalar(value: Any, kind: type) -> Number | Text | None:
    if value is None or value is Ellipsis:
        return Text(value, "None" if value is None else "...")
    if kind is bool:
        return Number(value, "bool")
    # the slots of int, float and str themselves: a subclass with an __eq__ or __float__ of its own is no use
    if _issubclass(kind, int):
        return Number(int.__int__(value), "int")
    if _issubclass(kind, float) and not _issubclass(kind, _np_generic):
        return Number(float.__float__(value), "float")
    if _issubclass(kind, complex) and not _issubclass(kind, _np_generic):
        return Number(complex.__complex__(value), "complex")
    if _issubclass(kind, str) and not _issubclass(kind, _np_generic):
        return Text(str.__str__(value), "str")
    if kind in (bytes, bytearray):
        return Text(bytes(value), "bytes")
    if _issubclass(kind, _np_generic):
        array = _np_array(value)
        if array.dtype.kind in "biufc":
            return _number(array, f"numpy {array.dtype}")
        if array.dtype.kind == "U":
            return Text(array.item(), "str")
    if kind is torch.Size:
        return None
    if kind in (torch.dtype, torch.device, torch.layout):
        return Text(_str(value), kind.__name__)
    return None


def _number(array: Any, source: str, requires_grad: bool = False) -> Number:
    kind: Any = {"b": "bool", "i": "int", "u": "int", "f": "float", "c": "complex"}[array.dtype.kind]
    return Number(array.item(), kind, source, requires_grad)


def _freeze_tensor(value: Any) -> Number | Array | Other:
    with _no_torch_function():
        requires_grad, dtype = bool(_requires_grad(value)), _str(_dtype(value)).removeprefix("torch.")
        if dtype.startswith(("q", "bits", "float4")):
            return Other(f"{dtype} tensor", "a")
        plain = _detach(value)
        if _layout(plain) is not _strided:
            plain = _dense(plain)
        plain = _resolve_neg(_resolve(_cpu(plain)))
        if _is_floating(plain):
            plain = _to(plain, _float64)
        elif _is_complex(plain):
            plain = _to(plain, _complex128)
        # a copy: the learner's code may keep the tensor
        data = _np_array(_numpy(plain), dtype=_widest(_str(_numpy(plain).dtype.kind)))
    if data.ndim == 0:
        return _number(data, f"tensor {dtype}", requires_grad)
    return Array(data, dtype, "tensor", requires_grad)


def _freeze_array(value: Any) -> Number | Array | Other:
    kind = value.dtype.kind
    if kind not in "biufc":
        return Other(f"array of {value.dtype}", "an")
    data = _np_array(value, dtype=_widest(kind))
    if data.ndim == 0:
        return _number(data, f"numpy {value.dtype}")
    return Array(data, _str(value.dtype), "array")


def _widest(kind: str) -> Any:
    # differences of small unsigned integers would wrap around
    return {"b": _bool, "i": _int64, "u": _int64, "f": _np_float64, "c": _np_complex128}[kind]


def _sort(items: tuple[Plain, ...]) -> tuple[Plain, ...]:
    try:
        return tuple(sorted(items, key=lambda item: (type(item).__name__, item.value)))  # type: ignore[union-attr]
    except (AttributeError, TypeError):
        return items
