"""Frozen dataclasses to JSON and back, strictly: what is read has the declared types or is refused.

Serves the contract in model and head files. Unknown fields are ignored, so that a later
version may add some without changing the schema version; missing ones without a default,
and values of another type, raise ValueError naming the field.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from typing import Any, TypeVar

T = TypeVar("T")


def dumps(value: Any) -> str:
    """JSON text of a dataclass, keys in the order of its fields. Refuses NaN and infinity."""
    return json.dumps(dataclasses.asdict(value), ensure_ascii=False, allow_nan=False)


def loads(cls: type[T], text: str, name: str) -> T:
    """Dataclass `cls` from JSON `text`; `name` is what error messages call it.

    Raises ValueError.
    """
    try:
        data = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{name} is not JSON: {error}") from None
    return typing.cast(T, _read(cls, data, name))


def _read(kind: Any, value: Any, name: str) -> Any:
    origin = typing.get_origin(kind)
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(typing.cast(type, kind), value, name)
    if origin in (typing.Union, types.UnionType):
        inner = [k for k in typing.get_args(kind) if k is not type(None)]
        return None if value is None else _read(inner[0], value, name)
    if origin is typing.Literal:
        return _literal(typing.get_args(kind), value, name)
    if origin is tuple:
        _expect(isinstance(value, list), name, "a list", value)
        item = typing.get_args(kind)[0]
        return tuple(_read(item, v, f"{name}[{i}]") for i, v in enumerate(value))
    if origin is dict:
        _expect(isinstance(value, dict), name, "an object", value)
        item = typing.get_args(kind)[1]
        return {k: _read(item, v, f"{name}[{k!r}]") for k, v in value.items()}
    return _scalar(kind, value, name)


def _read_dataclass(cls: type, value: Any, name: str) -> Any:
    _expect(isinstance(value, dict), name, "an object", value)
    hints = typing.get_type_hints(cls)
    fields = {}
    for field in dataclasses.fields(cls):
        if field.name in value:
            fields[field.name] = _read(hints[field.name], value[field.name], f"{name}.{field.name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ValueError(f"{name}.{field.name} is missing")
    return cls(**fields)


def _literal(choices: tuple[Any, ...], value: Any, name: str) -> Any:
    _expect(value in choices, name, "one of " + ", ".join(map(repr, choices)), value)
    return value


def _scalar(kind: Any, value: Any, name: str) -> Any:
    if kind is float:
        _expect(_is_number(value), name, "a number", value)
        return float(value)
    if kind is int:
        _expect(isinstance(value, int) and not isinstance(value, bool), name, "an integer", value)
        return value
    _expect(isinstance(value, kind), name, f"a {kind.__name__}", value)
    return value


def _is_number(value: Any) -> bool:
    finite = isinstance(value, (int, float)) and value == value and abs(value) < 1e308
    return finite and not isinstance(value, bool)


def _expect(holds: bool, name: str, wanted: str, value: Any) -> None:
    if not holds:
        raise ValueError(f"{name} must be {wanted}, not {str(value)[:60]!r}")
