"""Tool calls are read from every form that models write; lenient reading mends what is almost right."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhouse.engines.base import ToolSpec
from inhouse.engines.call_forms import read_arguments, read_calls
from inhouse.engines.mended_json import read_json

WEATHER = ToolSpec(
    "get_weather",
    "Weather",
    {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
)
SUM = ToolSpec("math.add", "Adds", {"type": "object", "properties": {"a": {}, "b": {}}})
TOOLS = (WEATHER, SUM)
SEOUL = ("get_weather", {"city": "서울", "days": 2})


def calls(text: str, *, lenient: bool = False) -> list[tuple[str, object]]:
    return [(call.name, json.loads(call.arguments)) for call in read_calls(text, TOOLS, lenient=lenient)[0]]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("json", '{"name": "get_weather", "arguments": {"city": "서울", "days": 2}}'),
        ("tag", '<tool_call>{"name": "get_weather", "arguments": {"city": "서울", "days": 2}}</tool_call>'),
        ("tag", '<tools>\n{"name": "get_weather", "arguments": {"city": "서울", "days": 2}}\n</tools>'),
        ("tag", "<tool_call>get_weather(city='서울', days=2)</tool_call>"),
        ("function_tag", '<function=get_weather>{"city": "서울", "days": 2}</function>'),
        ("function_tag", "<function=get_weather><parameter=city>서울</parameter><parameter=days>2</parameter>"),
        ("python_tag", '<|python_tag|>{"name": "get_weather", "parameters": {"city": "서울", "days": 2}}<|eom_id|>'),
        ("python_tag", '<|python_tag|>get_weather(city="서울", days=2)'),
        ("mistral", '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "서울", "days": 2}}]'),
        ("mistral", '[TOOL_CALLS]get_weather[ARGS]{"city": "서울", "days": 2}'),
        ("fence", '```json\n{"name": "get_weather", "arguments": {"city": "서울", "days": 2}}\n```'),
        ("fence", '```python\nprint(get_weather(city="서울", days=2))\n```'),
        ("fence", '```tool_code\nresult = get_weather("서울", days=2)\n```'),
        ("python", '[get_weather(city="서울", days=2)]'),
        ("python", 'get_weather("서울", 2)'),
    ],
)  # fmt: skip
def test_each_form_is_read_strictly_and_named(form, text):
    found, rest = read_calls(text, TOOLS)

    assert calls(text) == [SEOUL]
    assert [call.form for call in found] == [form]
    assert found[0].mended == ()
    assert rest.strip() == ""


@pytest.mark.parametrize(
    ("mended", "text"),
    [
        ("quotes", "<tool_call>{'name': 'get_weather', 'arguments': {'city': '서울', 'days': 2}}</tool_call>"),
        ("cut off", '{"name": "get_weather", "arguments": {"city": "서울", "days": 2}'),
        ("cut off", '<tool_call>{"name": "get_weather", "arguments": {"city": "서울", "days": 2}'),
        ("commas", '{"name": "get_weather", "arguments": {"city": "서울", "days": 2,},}'),
        ("commas", '{"name": "get_weather" "arguments": {"city": "서울" "days": 2}}'),
        ("quotes", '{name: "get_weather", arguments: {city: "서울", days: 2}}'),
        ("comments", '{"name": "get_weather", // the tool\n "arguments": {"city": "서울", "days": 2}}'),
        ("name", '{"name": "functions.getWeather", "arguments": {"city": "서울", "days": 2}}'),
        ("wrapper", '{"get_weather": {"city": "서울", "days": 2}}'),
    ],
)  # fmt: skip
def test_what_is_almost_right_is_mended_leniently_only(mended, text):
    assert calls(text) == []
    assert calls(text, lenient=True) == [SEOUL]
    assert mended in read_calls(text, TOOLS, lenient=True)[0][0].mended


@pytest.mark.parametrize(
    "text",
    [
        'I will call {"name": "get_weather", "arguments": {"city": "서울", "days": 2}} now.',
        'Thought: look it up\nAction: get_weather\nAction Input: {"city": "서울", "days": 2}',
        "To know that, I call:\nget_weather(city='서울', days=2)\nand wait.",
        'Sure! {"tool": "get_weather", "args": {"city": "서울", "days": 2}}',
    ],
)
def test_calls_inside_prose_are_found_leniently_only(text):
    assert calls(text) == []
    assert calls(text, lenient=True) == [SEOUL]


def test_half_a_value_is_left_out_rather_than_guessed():
    text = '{"name": "get_weather", "arguments": {"days": 2, "city": "서'

    assert calls(text, lenient=True) == [("get_weather", {"days": 2})]


def test_parallel_calls_and_dotted_names_keep_their_order():
    text = "[math.add(1, b=-2.5), get_weather(city='서울', days=2)]"

    assert calls(text) == [("math.add", {"a": 1, "b": -2.5}), SEOUL]


@pytest.mark.parametrize(
    "text",
    [
        "It is sunny in Seoul.",
        "get_weather is the tool that I would use (if I could).",
        "def get_weather(city):\n    return 1",
        '{"answer": 42}',
        "print('get_weather(')",
        "get_weather(open('/etc/passwd').read())",
        "get_weather(**{'city': 'x'})",
        "[" * 5000 + "get_weather(",
        "{" * 5000,
    ],
)
def test_what_is_no_call_is_none_even_leniently(text):
    assert read_calls(text, TOOLS, lenient=True) == ([], text)


@given(st.text(alphabet="{}[]\"':,\\ get_weathr(city=1)<tool_call>`\n가", max_size=80))
def test_no_text_breaks_the_reader(text):
    found, _ = read_calls(text, TOOLS, lenient=True)

    assert all(call.name in ("get_weather", "math.add") for call in found)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)


@given(JSON)
def test_right_json_is_read_as_it_is(value):
    text = json.dumps(value, ensure_ascii=False) + " "

    assert read_json(text)[::2] == (value, ())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", {}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ("{'a': True, 'b': None}", {"a": True, "b": None}),
        ('{"text": "he said "hi" there"}', {"text": 'he said "hi" there'}),
        ('{"text": "two\nlines"}', {"text": "two\nlines"}),
        ("[1]", None),
        ("certainly", None),
    ],
)
def test_arguments_are_read_kindly(text, value):
    assert read_arguments(text)[0] == value
