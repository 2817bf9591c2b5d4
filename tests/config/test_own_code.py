"""The name of code of one's own in an INI: read where it is expected, kept as it is, and no excuse for a misspelt choice."""

from __future__ import annotations

import pytest

from modules.config.comparison import differences
from modules.config.errors import ConfigError
from modules.config.own_code import OwnCode
from modules.config.printer import to_ini
from modules.config.reader import read_config


@pytest.mark.parametrize("option", ["metric", "loss"])
def test_it_is_read_as_what_it_is(option: str) -> None:
    config, _ = read_config([], [f"hyper_params.{option}=my_package.my_code:score"])
    value = getattr(config.hyper_params, option)
    assert isinstance(value, OwnCode) and value == "my_package.my_code:score"
    assert (value.module, value.attribute) == ("my_package.my_code", "score")
    assert f"\n{option} = my_package.my_code:score\n" in to_ini(config)


@pytest.mark.parametrize(
    "text", ["acuracy", "my_code", "my_code:", ":score", "my-code:score", "my_code.score", "my_code:a.b", "my_code : score", "1a:b"]
)
def test_what_is_neither_a_choice_nor_such_a_name_is_told_both(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config([], [f"hyper_params.metric={text}"])
    (line,) = caught.value.lines
    assert line.startswith("override hyper_params.metric: expected one of auto, accuracy, f1, ")
    assert f" or package.module:name, code of your own, got '{text}'" in line
    assert line.endswith("(did you mean accuracy?)") is (text == "acuracy")


def test_it_is_for_every_task() -> None:
    for task in ("multiclass", "binary", "ordinal", "regression"):
        source = () if task in ("multiclass", "binary") else ("data.source=csv",)
        read_config([], [f"data.task={task}", *source, "hyper_params.metric=my_code:score", "hyper_params.loss=my_code:loss"])


def test_what_was_learnt_depends_on_it() -> None:
    first, second = (read_config([], [f"hyper_params.metric=my_code:{name}", "model.name=m:n"])[0] for name in ("one", "two"))
    (difference,) = differences(first, second)
    assert difference.texts == ("my_code:one", "my_code:two")
