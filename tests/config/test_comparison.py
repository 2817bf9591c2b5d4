"""Two configs: exactly the options that differ are told, as an INI has them."""

from __future__ import annotations

from dataclasses import replace

from modules.config.comparison import differences
from modules.config.schema import Config


def test_differences_are_told_in_both_values_and_only_of_what_is_asked_for() -> None:
    first = Config()
    data = replace(first.data, channels=1, train_csv="other.csv", group_column="patient")
    second = replace(first, data=data, hyper_params=replace(first.hyper_params, epochs=12))
    assert list(differences(first, first)) == []
    assert [(each.section, each.name, *each.texts) for each in differences(first, second)] == [  # train_csv: nothing learnt depends on it
        ("data", "group_column", "blank", "patient"),
        ("data", "channels", "3", "1"),
        ("hyper_params", "epochs", "10", "12"),
    ]
    asked = [("data", "train_csv"), ("data", "mean")]
    assert [(each.name, each.first, each.second) for each in differences(first, second, asked)] == [("train_csv", "train.csv", "other.csv")]
