"""TOML that was written to do harm."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemef.capture.files.toml_io import parse_toml


def test_settings_are_read() -> None:
    assert parse_toml('[a.b]\nc = 1\nd.e = "x"\n') == {"a": {"b": {"c": 1, "d": {"e": "x"}}}}
    assert parse_toml('text = "' + "a." * 100 + '"\n')


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "9" * 5000,
        "a" + ".a" * 100000 + " = 1",
        "[a" + ".a" * 100000 + "]",
        "x = " + "[" * 100000,
        "x = {" * 3000,
        "x = 1\nx = 2",
        "= 1",
        "\x00",
    ],
)
def test_what_is_refused_at_once(text: str) -> None:
    with pytest.raises(ValueError, match=r"line|deep|digits|statement|character|[Ee]xpected|overwrite|limit"):
        parse_toml(text)


@given(st.text(alphabet="[]{}.=\"'#\n a1", max_size=200))
def test_any_text_is_a_table_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(parse_toml(text), dict)
