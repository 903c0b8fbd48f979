"""Debounced input: a search index is rebuilt when its author pauses, once, with the last text.

    python examples/search_as_you_type.py

Every keystroke is durable when `on_key` returns: kill the program while it types, start it again, and the text that
was typed last is indexed.
"""

import os
import time

from dbos import DBOS, Debouncer

PAUSE_SECONDS = 1.0
LONGEST_SECONDS = 5.0  # an author who never pauses sees an index that is not older than that


@DBOS.step()
def write_index(document: str, words: list[str]) -> int:
    print(f"{document}: indexing {' '.join(words)!r}")
    return len(words)


@DBOS.workflow()
def index(document: str, text: str) -> int:
    return write_index(document, text.split())


debouncer = Debouncer.create(index, debounce_timeout_sec=LONGEST_SECONDS)


def on_key(document: str, text: str) -> str:
    """Called at every keystroke. Returns the id of the workflow that will index the text."""
    return debouncer.debounce(document, PAUSE_SECONDS, document, text).workflow_id


def main() -> None:
    url = os.environ.get("DBOS_SYSTEM_DATABASE_URL", "sqlite:///search_as_you_type.sqlite")
    DBOS(config={"name": "search-as-you-type", "system_database_url": url, "log_level": "WARNING"})
    DBOS.launch()
    for sentence in ("start when they pause", "and begin anew after that"):
        workflows = set()
        for end in range(1, len(sentence) + 1):
            workflows.add(on_key("novel", sentence[:end]))
            time.sleep(0.002)
        (workflow_id,) = workflows
        print(f"{len(sentence)} keystrokes, 1 workflow, {DBOS.get_result(workflow_id)} words")
    DBOS.destroy()


if __name__ == "__main__":
    main()
