"""How a topic or a key of a workflow is written as one text."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from dbos.model.mailbox import place

texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(texts, texts)
def test_a_place_is_a_json_pair(workflow_id: str, name: str) -> None:
    """The databases take it apart."""
    assert place(workflow_id, name) == json.dumps((workflow_id, name), ensure_ascii=False)
