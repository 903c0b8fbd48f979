import threading
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbos.error import DBOSException
from dbos.model.ids import MAX_ID_BYTES, RANDOM_BITS, Uuid7Sequence, child_id, uuid7, validate_workflow_id


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**RANDOM_BITS - 1))
def test_a_new_id_is_a_version_7_uuid(now_ms: int, random_bits: int) -> None:
    made = uuid.UUID(uuid7(now_ms, random_bits))
    assert str(made) == uuid7(now_ms, random_bits)
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert made.int >> 80 == now_ms
    assert (made.int >> 64 & 0xFFF) << 62 | made.int & (2**62 - 1) == random_bits


def test_the_example_of_the_rfc() -> None:
    assert uuid7(0x017F22E279B0, 0xCC3 << 62 | 0x18C4DC0C0C07398F) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


@given(st.lists(st.tuples(st.integers(0, 2**47), st.integers(0, 2**80)), min_size=1, max_size=50))
def test_a_sequence_only_grows(ticks: list[tuple[int, int]]) -> None:
    """Whatever the clock does, and whatever the randomness is."""
    times = iter([now_ms for now_ms, _ in ticks])
    bits = iter([bits for _, bits in ticks for _ in range(2)])
    sequence = Uuid7Sequence(lambda: next(times), lambda n: next(bits) % 2**n, threading.Lock())
    made = [sequence.next() for _ in ticks]
    assert made == sorted(set(made))


def test_a_full_millisecond_borrows_the_next() -> None:
    sequence = Uuid7Sequence(lambda: 5, lambda n: 2**n - 1, threading.Lock())
    sequence.next()
    for _ in range(3):
        sequence._last_random = 2**RANDOM_BITS - 1
        before = sequence._last_ms
        made = uuid.UUID(sequence.next())
        assert made.int >> 80 == before + 1


def test_a_child_is_named_after_its_step() -> None:
    assert child_id("order", 3) == "order-3"


@pytest.mark.parametrize("legal", ["a", "order 7", "ä" * 256, "😀" * 128, "x" * 512, " padded ", "a\nb"])
def test_legal_ids_pass_unchanged(legal: str) -> None:
    assert validate_workflow_id(legal) == legal


def test_a_subclass_of_str_becomes_plain_text() -> None:
    class Key(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "something else"

    made = validate_workflow_id(Key("order"))
    assert type(made) is str
    assert made == "order"


@pytest.mark.parametrize(
    ("illegal", "said"),
    [
        ("", "empty"),
        (" \t\n", "whitespace"),
        ("a\0b", "NUL"),
        ("\ud800", "surrogate"),
        ("x" * 513, "513"),
        ("😀" * 129, "516"),
        (None, "NoneType"),
        (7, "int"),
        (b"order", "bytes"),
    ],
)
def test_illegal_ids_are_refused(illegal: object, said: str) -> None:
    with pytest.raises(DBOSException, match=said):
        validate_workflow_id(illegal)


@given(st.text(st.characters(), max_size=600))
def test_whatever_passes_fits_a_database(text: str) -> None:
    try:
        validate_workflow_id(text)
    except DBOSException:
        return
    assert text.strip()
    assert "\0" not in text
    assert len(text.encode("utf-8")) <= MAX_ID_BYTES
