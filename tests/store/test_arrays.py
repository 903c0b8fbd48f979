"""How records become parameters of Postgres: one alone and many together must be read as the same."""

from __future__ import annotations

import enum

import psycopg
import pytest

from dbos.store.database import ValueRefused
from dbos.store.postgres.arrays import number_array, scalars, text_array


class Text(str, enum.Enum):  # noqa: UP042  # unlike StrEnum, it writes itself as `Text.MEMBER`
    MEMBER = "x"


class Number(int, enum.Enum):
    MEMBER = 7


@pytest.mark.parametrize("text", ["", "x", "NULL", '"', "\\", "{a,b}", "ü\u2028😀", "\x01\n", Text.MEMBER, None])
@pytest.mark.parametrize("number", [0, -1, 2**62, True, False, Number.MEMBER, None])
def test_a_record_alone_is_read_like_one_of_many(postgres_url: str, text: str | None, number: int | None) -> None:
    with psycopg.connect(postgres_url) as connection:
        cursor = psycopg.RawCursor(connection)
        alone = [None if each is None else each.decode() for each in scalars((text, number))]
        many = [(array or b"{NULL,NULL}").decode() for array in (text_array((text, text)), number_array((number,) * 2))]
        (one,) = cursor.execute("select cast($1 as text), cast($2 as bigint)", alone).fetchall()
        both = cursor.execute("select * from unnest(cast($1 as text[]), cast($2 as bigint[]))", many).fetchall()
    assert both == [one, one]
    assert one == (None if text is None else str.__str__(text), number)


@pytest.mark.parametrize("record", [("\0", "a", 1), ("a", "b\0", 1), (None, 1, "a\0b"), ("a\0", None, "\0b")])
def test_a_text_with_a_nul_is_refused(record: tuple[str | int | None, ...]) -> None:
    with pytest.raises(ValueRefused, match="NUL"):
        scalars(record)
