"""Configs from text: `--set key=value` on the command line, and JSON in a run's folder."""

from __future__ import annotations

import ast
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from nascore.names import unknown

T = TypeVar("T")


def with_settings(config: T, settings: Iterable[str]) -> T:
    """`config` with each "key=value" of `settings` set; keys of nested configs join with dots.

    Raises ValueError for an unknown key, a value of the wrong type, or one the config refuses.
    """
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ValueError(f"setting {setting!r}: write it as key=value")
        config = _with(config, key.strip(), key.strip().split("."), text.strip())
    return config


def differing(config: Any, other: Any) -> list[tuple[str, str, str]]:
    """Every setting in which two configs differ: its key, its value in each, as text."""
    mine, theirs = _flat(config), _flat(other)
    return [
        (key, str(value), str(theirs.get(key)))
        for key, value in mine.items()
        if theirs.get(key) != value
    ]


def _flat(config: Any, above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in fields(config):
        value, key = getattr(config, field.name), above + field.name
        found |= _flat(value, f"{key}.") if is_dataclass(value) else {key: value}
    return found


def _with(config: Any, key: str, path: list[str], text: str) -> Any:
    kinds = typing.get_type_hints(type(config))
    if path[0] not in kinds:
        raise unknown("key", path[0], kinds)
    value = getattr(config, path[0])
    if is_dataclass(value):
        if len(path) == 1:
            inner = ", ".join(f"{path[0]}.{f.name}" for f in fields(value))
            raise ValueError(f"{key} is a group; set one of {inner}")
        return replace(config, **{path[0]: _with(value, key, path[1:], text)})
    if len(path) > 1:
        raise ValueError(f"{key}: {path[0]} is a single value, it has no {path[1]!r}")
    try:
        parsed = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        parsed = {"true": True, "false": False, "none": None}.get(text.lower(), text)
    try:
        return replace(config, **{path[0]: _typed(kinds[path[0]], parsed)})
    except TypeError as error:
        raise ValueError(f"{key}={text}: {error}") from None


def from_json(kind: type[T], data: Mapping[str, Any]) -> T:
    """The frozen config `kind` whose `dataclasses.asdict`, through JSON, gave `data`."""
    kinds = typing.get_type_hints(kind)
    for key in data:
        if key not in kinds:
            raise unknown("key", key, kinds)
    return kind(**{key: _typed(kinds[key], value) for key, value in data.items()})


def _typed(kind: Any, value: Any) -> Any:
    """`value` as `kind`: lists become tuples, integers floats, mappings configs; else TypeError."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _typed(next(a for a in args if a is not type(None)), value)
    if origin is typing.Literal:
        if value not in args:
            raise TypeError(f"{value!r} is not one of {', '.join(map(repr, args))}")
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"expected a list such as (1, 2), got {value!r}")
        inner = args[:1] * len(value) if args[1:] == (...,) else args
        if len(inner) != len(value):
            raise TypeError(f"expected {len(args)} values, got {value!r}")
        return tuple(_typed(a, v) for a, v in zip(inner, value, strict=True))
    if is_dataclass(kind) and isinstance(kind, type):
        return from_json(kind, value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError(f"expected {kind.__name__}, got {value!r}")
    return value
