"""BFCL's official check of calls against their possible answers (its AST checker, for Python), verdict for verdict.

Written after bfcl_eval's ast_checker (Apache-2.0); a test compares both on the same calls. Knows no model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

_TYPES: dict[str, type] = {
    "string": str, "integer": int, "float": float, "boolean": bool, "array": list, "tuple": list, "dict": dict,
    "any": str,
}  # fmt: skip
Call = tuple[str, Mapping[str, Any]]
"""A function's name and its arguments."""


def check_calls(
    functions: Sequence[Mapping[str, Any]], calls: Sequence[Call], answers: Sequence[Mapping[str, Any]], category: str
) -> str:
    """What is wrong with the calls, in a word or two; empty where nothing is. `answers`: one {name: arguments} a call.

    In a parallel category the order does not matter, as in the official check.
    """
    if len(calls) != len(answers):
        return "no call" if not calls else "wrong number of calls"
    if "parallel" not in category:
        function = functions[0] if "multiple" not in category else _find(functions, next(iter(answers[0])))
        return _check(function, calls[0], answers[0])
    left = list(range(len(calls)))
    for answer in answers:
        function = _find(functions, next(iter(answer)))
        faults = {}
        for place in left:
            fault = _check(function, calls[place], answer)
            if not fault:
                left.remove(place)
                break
            faults[place] = fault
        else:
            # Of the calls of the right function, what is wrong says more than that the others are others.
            return next((fault for fault in faults.values() if fault != "wrong function"), "wrong function")
    return ""


def _find(functions: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    return next(function for function in functions if function["name"] == name)


def _check(function: Mapping[str, Any], call: Call, answer: Mapping[str, Any]) -> str:
    possible: Mapping[str, Any] = next(iter(answer.values()))
    name, arguments = call
    details = function["parameters"]["properties"]
    if name != function["name"]:
        return "wrong function"
    if any(parameter not in arguments for parameter in function["parameters"]["required"]):
        return "missing argument"
    for parameter, value in arguments.items():
        if parameter not in details or parameter not in possible:
            return "unknown argument"
        if fault := _check_value(value, details[parameter], possible[parameter]):
            return fault
    if any(parameter not in arguments and "" not in options for parameter, options in possible.items()):
        return "missing argument"
    return ""


def _check_value(value: Any, detail: Mapping[str, Any], options: Sequence[Any]) -> str:
    kind = detail["type"]
    wanted = _TYPES[kind]
    inner = _TYPES[detail["items"]["type"]] if kind in ("array", "tuple") else None
    if kind == "float" and type(value) is int:
        value = float(value)
    fits, variable = _fits(value, options, wanted, inner)
    if not fits:
        return "wrong type"
    if not variable:
        if wanted is dict:
            return "" if _dict_fits(value, options) else "wrong value"
        if wanted is list and inner is dict:
            return "" if _dicts_fit(value, options) else "wrong value"
        if wanted is str:
            good = _plain(value) in [_plain(option) for option in options if isinstance(option, str)]
            return "" if good else "wrong value"
        if wanted is list:
            good = [_plain(one) for one in value] in [[_plain(one) for one in option] for option in options]
            return "" if good else "wrong value"
    return "" if value in options else "wrong value"


def _fits(value: Any, options: Sequence[Any], wanted: type | None, inner: type | None) -> tuple[bool, bool]:
    """Whether the value is of the type, and whether it may be a variable's name instead of a value."""
    answered = next((type(option) for option in options if option != ""), None)
    variable = answered is not None and answered is not wanted
    if type(value) is wanted:
        if inner is None:
            return True, variable
        parts = cast("list[Any]", value)
        for option in options:
            if not isinstance(option, list) or all(_fits(one, option, inner, None)[0] for one in parts):
                return True, variable
    return (True, True) if answered is not None and type(value) is answered else (False, False)


def _dict_fits(value: Mapping[str, Any], options: Sequence[Any]) -> bool:
    return any(
        all(key in option and _plain(one) in [_plain(good) for good in option[key]] for key, one in value.items())
        and all(key in value or "" in good for key, good in option.items())
        for option in options
        if option != ""
    )


def _dicts_fit(value: Sequence[Any], options: Sequence[Any]) -> bool:
    return any(
        len(value) == len(option) and all(_dict_fits(one, [good]) for one, good in zip(value, option, strict=True))
        for option in options
    )


def _plain(value: Any) -> Any:
    """A text without what may differ: case, spaces, punctuation, the kind of quotes."""
    return re.sub(r"[ \,\.\/\-\_\*\^]", "", value).lower().replace("'", '"') if isinstance(value, str) else value
