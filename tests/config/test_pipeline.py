"""The grammar of pipelines: literal calls and nothing else; nothing is ever evaluated."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.config.errors import ConfigError
from modules.config.pipeline import Call, Pipeline, parse_pipeline
from modules.config.reader import read_config


def test_calls_are_read_in_order_with_their_values() -> None:
    pipeline = parse_pipeline("HorizontalFlip(p=0.5)\nOneOf([Blur(3), Noise(std=(0.1, -0.2))], p=1)\nA(x=None, y=True, z='t', w=\"u\")")
    assert pipeline == Pipeline(
        (
            Call("HorizontalFlip", (), (("p", 0.5),)),
            Call("OneOf", ([Call("Blur", (3,), ()), Call("Noise", (), (("std", (0.1, -0.2)),))],), (("p", 1),)),
            Call("A", (), (("x", None), ("y", True), ("z", "t"), ("w", "u"))),
        )
    )


def test_code_of_ones_own_has_its_whole_name_also_within_other_calls() -> None:
    text = "my_code:Lines(gap=4)\nOneOf([a.b.c:Dots((1, 2), x='d:e(f)'), my_code:Lines()], p=0.5)\nBlur(x={'k': 1})"
    pipeline = parse_pipeline(text)
    assert [call.name for call in pipeline.calls] == ["my_code:Lines", "OneOf", "Blur"]
    assert pipeline.own_code == ("my_code:Lines", "a.b.c:Dots") and pipeline.calls[2].own_code is None
    assert parse_pipeline(str(pipeline)) == pipeline and str(pipeline).splitlines()[0] == "my_code:Lines(gap=4)"


@pytest.mark.parametrize("text", ["", "\n\n", "# a comment"])
def test_no_call_is_an_empty_pipeline(text: str) -> None:
    assert parse_pipeline(text) == Pipeline(())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("os.system('x')", "'os.system' is not the name of a transform; write the name alone"),
        ("__import__('os').system('x')", "\"__import__('os').system\" is not the name of a transform; write the name alone"),
        ("f()()", "'f()' is not the name of a transform; write the name alone"),
        ("(lambda: 1)()", "'lambda: 1' is not the name of a transform; write the name alone"),
        ("[f][0](p=1)", "'[f][0]' is not the name of a transform; write the name alone"),
        ("a:b", "'a:b' is not a call; write a:b(); expected one call a line, such as HorizontalFlip(p=0.5)"),
        ("a:b:c()", "'a:b:c()' is not a call; expected one call a line, such as HorizontalFlip(p=0.5)"),
        ("{a:f(1)}", "'{a:f(1)}' is not a call; expected one call a line, such as HorizontalFlip(p=0.5)"),
        ("a:b(p=half)", "'half' is not a literal value (a number, text, true or false, a list)"),
        ("a:b(p=c:d)", "cannot read 'a:b(p=c:d)'; expected one call a line, such as HorizontalFlip(p=0.5)"),
        ("a:b(**kw)", "** is not understood in a:b(...)"),
        ("a:b(p=1, p=2)", "argument 'p' stands twice in a:b(...)"),
        ("Flip", "'Flip' is not a call; write Flip(); expected one call a line, such as HorizontalFlip(p=0.5)"),
        ("0.5", "'0.5' is not a call; expected one call a line, such as HorizontalFlip(p=0.5)"),
        ("x = Flip()", "'x = Flip()' is not a call; expected one call a line, such as HorizontalFlip(p=0.5)"),
        ("import os", "'import os' is not a call; expected one call a line, such as HorizontalFlip(p=0.5)"),
        ("Flip(), Flop()", "'(Flip(), Flop())' is not a call; expected one call a line, such as HorizontalFlip(p=0.5)"),
        ("Flip(p=half)", "'half' is not a literal value (a number, text, true or false, a list)"),
        ("Flip(p=os.path)", "'os.path' is not a literal value (a number, text, true or false, a list)"),
        ("Flip(p=[x for x in (1, 2)])", "'[x for x in (1, 2)]' is not a literal value (a number, text, true or false, a list)"),
        ("Flip(p={x: 1 for x in (1, 2)})", "'{x: 1 for x in (1, 2)}' is not a literal value (a number, text, true or false, a list)"),
        ("Flip(p=(x for x in (1, 2)))", "'(x for x in (1, 2))' is not a literal value (a number, text, true or false, a list)"),
        ("Flip(p=1 + 1)", "'1 + 1' is not a literal value (a number, text, true or false, a list)"),
        ("Flip(p=2 ** 999)", "'2 ** 999' is not a literal value (a number, text, true or false, a list)"),
        ("Flip(p=lambda: 1)", "'lambda: 1' is not a literal value (a number, text, true or false, a list)"),
        ("Flip(p=f'{1}')", "\"f'{1}'\" is not a literal value (a number, text, true or false, a list)"),
        ("Flip(p=1 if 1 else 2)", "'1 if 1 else 2' is not a literal value (a number, text, true or false, a list)"),
        ("Flip(p=(y := 1))", "'(y := 1)' is not a literal value (a number, text, true or false, a list)"),
        ("Flip(*args)", "'*args' is not a literal value (a number, text, true or false, a list)"),
        ("Flip([*args])", "'*args' is not a literal value (a number, text, true or false, a list)"),
        ("Flip(**kw)", "** is not understood in Flip(...)"),
        ("Flip(**{'p': 1})", "** is not understood in Flip(...)"),
        ("Flip(p=inf)", "'inf' is not a literal value (a number, text, true or false, a list)"),
        ("Flip(p=1e999)", "'1e309' is not a finite number"),
        ("Flip(p=-1e999)", "'-1e309' is not a finite number"),
        ("OneOf([Flip(p=(1, 1e999))])", "'1e309' is not a finite number"),
        ("Flip(p=0.5", "cannot read 'Flip(p=0.5'; expected one call a line, such as HorizontalFlip(p=0.5)"),
        ("Flip()\nFlip(p==)", "cannot read 'Flip(p==)'; expected one call a line, such as HorizontalFlip(p=0.5)"),
    ],
)
def test_what_is_not_a_literal_call_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_pipeline(text)


@pytest.mark.parametrize("text", ["Flip(x={[1]: 2})", "Flip(x={{}: 2})", "Flip(x={[]})", "Flip(x=({[1]: 2},))"])
def test_a_value_that_python_itself_cannot_make_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a literal value"):
        parse_pipeline(text)


@pytest.mark.parametrize("text", ["Flip(x={'a': 1e999})", "Flip(x={1e999})", "Flip(x={'a': [1, -1e999]})", "Flip(x=1e999j)"])
def test_no_infinite_number_hides_inside_a_value(text: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        parse_pipeline(text)


def test_an_argument_that_stands_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="limit"):
        parse_pipeline("Rotate(limit=5, p=1, limit=90)")


def test_calls_nested_too_deeply_are_refused() -> None:
    with pytest.raises(ValueError, match=r"nested too deeply|cannot read"):
        parse_pipeline("A(" * 3000 + ")" * 3000)


def test_the_mistake_is_told_where_the_option_stands() -> None:
    Path("config.ini").write_text("[augmentation]\n\nvalid =\n    Flip(p=0.5)\n    __import__('os').abort()\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_config(["config.ini"])
    message = "\"__import__('os').abort\" is not the name of a transform; write the name alone"
    assert caught.value.lines == (f"config.ini:3 [augmentation] valid: {message}",)


LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple),
    max_leaves=5,
)
NAMES = st.from_regex(r"[A-Z][a-z0-9_]{0,5}", fullmatch=True).filter(lambda name: name not in ("None", "True", "False"))
KEYWORDS = st.dictionaries(st.sampled_from(["p", "limit", "fill_mask"]), LITERALS, max_size=2).map(lambda found: tuple(found.items()))
CALLS = st.builds(Call, NAMES, st.lists(LITERALS, max_size=2).map(tuple), KEYWORDS)


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(calls=st.lists(CALLS, max_size=3))
def test_any_pipeline_of_literals_prints_as_what_it_is(calls: list[Call]) -> None:
    pipeline = Pipeline(tuple(calls))
    assert parse_pipeline(str(pipeline)) == pipeline


@pytest.mark.parametrize("text", ["F(x=1j)", "F(x=b'a')", "F(x={1: 2})", "F(x={1, 2})", "F(x=...)", "F(x=-0.0)", "F(x=())", "F(x=0xff)"])
def test_whatever_is_taken_prints_as_something_that_is_taken_again(text: str) -> None:
    try:
        pipeline = parse_pipeline(text)
    except ValueError:
        with pytest.raises(ValueError, match="is not a literal value"):
            parse_pipeline(text)
    else:
        assert parse_pipeline(str(pipeline)) == pipeline
