import io
import logging
import re
import sys
from collections.abc import Iterator

import pytest

from dbos.api.logger import configure_logger, level_number, logger


@pytest.fixture(autouse=True)
def fresh_logger() -> Iterator[None]:
    """The logger without handlers, and as it was before afterwards."""
    kept = logger.level, logger.propagate, list(logger.handlers)
    logger.handlers.clear()
    yield
    logger.level, logger.propagate, logger.handlers[:] = kept
    logger.manager._clear_cache()  # type: ignore[attr-defined]


def test_a_line_has_its_documented_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logger("INFO")
    logger.info("DBOS launched!")
    pattern = r"\d\d:\d\d:\d\d \[    INFO\] \(dbos:test_logger\.py:\d+\) DBOS launched!\n"
    shown = capsys.readouterr().err
    assert re.fullmatch(pattern, shown)


def test_configuring_again_replaces_the_console(capsys: pytest.CaptureFixture[str]) -> None:
    for level in ("INFO", "DEBUG", "WARNING"):
        configure_logger(level)
    logger.info("hidden")
    logger.warning("shown")
    shown = capsys.readouterr().err
    assert shown.count("shown") == 1
    assert "hidden" not in shown


def test_handlers_of_the_application_stay() -> None:
    own = logging.NullHandler()
    logger.addHandler(own)
    configure_logger("INFO")
    configure_logger("INFO")
    assert own in logger.handlers
    assert len(logger.handlers) == 2


def test_the_console_may_show_less_than_the_logger(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    configure_logger("DEBUG", "ERROR")
    logger.debug("for collectors")
    logger.error("for people")
    shown = capsys.readouterr().err
    assert "for people" in shown
    assert "for collectors" not in shown
    assert caplog.messages == ["for collectors", "for people"]


def test_the_console_follows_a_replaced_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    configure_logger("INFO")
    for text in ("first", "second"):
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        logger.info(text)
        assert stream.getvalue().endswith(f"{text}\n")
        assert stream.getvalue().count("\n") == 1


def test_nothing_is_shown_twice(capsys: pytest.CaptureFixture[str]) -> None:
    """The application prints its logs to the console itself, as after `logging.basicConfig()`."""
    configure_logger("INFO")
    root = logging.getLogger()
    own = logging.StreamHandler(sys.stderr)
    root.addHandler(own)
    try:
        logger.info("once")
    finally:
        root.removeHandler(own)
    shown = capsys.readouterr().err
    assert shown == "once\n"
    logger.info("again")
    assert capsys.readouterr().err.count("again") == 1


def test_a_file_of_the_root_logger_does_not_silence_the_console(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logger("INFO")
    file = io.StringIO()
    handler = logging.StreamHandler(file)
    logging.getLogger().addHandler(handler)
    try:
        logger.info("both")
    finally:
        logging.getLogger().removeHandler(handler)
    shown = capsys.readouterr().err
    assert "both" in shown
    assert "both" in file.getvalue()


@pytest.mark.parametrize(("level", "number"), [("INFO", 20), ("debug", 10), ("Warning", 30), (15, 15)])
def test_levels(level: str | int, number: int) -> None:
    assert level_number(level) == number


@pytest.mark.parametrize("level", ["LOUD", "", None, 1.5])
def test_unknown_levels_change_nothing(level: object, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logger("INFO")
    with pytest.raises(ValueError, match="Unknown log level"):
        configure_logger(level)  # type: ignore[arg-type]
    logger.info("still here")
    shown = capsys.readouterr().err
    assert "still here" in shown
