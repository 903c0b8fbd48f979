import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbos.model.database_url import dialect_of, redact_url


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///file.sqlite",
        "sqlite:////var/lib/file.sqlite",
        "sqlite+pysqlite:///file.sqlite?timeout=5",
        "sqlite:///some dir/file",
    ],
)
def test_sqlite_urls(url: str) -> None:
    assert dialect_of(url) == "sqlite"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://localhost/app",
        "postgres://u:p@localhost:5432/app?sslmode=require",
        "postgresql+psycopg://u@/app?host=/var/run/postgresql",
        "postgresql:///app",
        "postgresql://localhost?dbname=app",
        "postgresql://u:p@a:1,b:2/app",
        "postgresql://[::1]:5432/app",
    ],
)
def test_postgres_urls(url: str) -> None:
    assert dialect_of(url) == "postgresql"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "not a URL"),
        ("app.sqlite", "not a URL"),
        ("host=localhost dbname=app", "not a URL"),
        ("sqlite://", "database is missing"),
        ("sqlite:///", "database is missing"),
        ("sqlite://file.sqlite", "three slashes"),
        ("sqlite:///:memory:", "memory"),
        ("sqlite:///file:app?mode=memory&uri=true", "memory"),
        ("postgresql://localhost", "database is missing"),
        ("postgresql://u:p@localhost:5432/", "database is missing"),
        ("postgresql://localhost/?sslmode=require", "database is missing"),
        ("postgresql+psycopg2://localhost/app", "psycopg 3"),
        ("postgresql+asyncpg://localhost/app", "psycopg 3"),
        ("mysql://localhost/app", "mysql:// is not supported"),
    ],
)
def test_other_urls_are_refused_with_a_hint(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        dialect_of(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:secret@host/app", "postgresql://u:***@host/app"),
        ("postgresql://:secret@host/app", "postgresql://:***@host/app"),
        ("postgresql://u:se@c/r:e?t@host/app", "postgresql://u:***@host/app"),
        ("postgresql://u@host/app?password=secret&x=1", "postgresql://u@host/app?password=***&x=1"),
        ("postgresql://u@host/app?sslpassword=secret", "postgresql://u@host/app?sslpassword=***"),
        ("host=h password=secret dbname=app", "host=h password=*** dbname=app"),
        ("host=h password = 'se cr\\' et' dbname=app", "host=h password = *** dbname=app"),
        ("postgresql://u@host/app", "postgresql://u@host/app"),
        ("postgresql:/u:secret@host/app", "postgresql:/u:***@host/app"),
        ("postgresql:u:se@c/ret@host/app", "postgresql:u:***@host/app"),
        ("u:se:c ret@host/app", "u:***@host/app"),
        ("'u:secret@host/app'", "'u:***@host/app'"),
        ("postgresql:/u:secret@host/app?next=http://x", "postgresql:/u:***@host/app?next=http://x"),
        ("postgresql:/u:se://cret@host/app", "postgresql:/u:***@host/app"),
        ("u:secret@host/app?next=http://x", "u:***@host/app?next=http://x"),
        ("no answer from: postgresql://u:secret@host/app", "no answer from: postgresql://u:***@host/app"),
        ("u@host/app", "u@host/app"),
        ("sqlite:///file.sqlite", "sqlite:///file.sqlite"),
    ],
)
def test_passwords_do_not_show(url: str, shown: str) -> None:
    assert redact_url(url) == shown


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30))
def test_no_password_shows_whatever_is_in_it(password: str) -> None:
    marked = f"canary{password}canary"
    assert "canary" not in redact_url(f"postgresql+psycopg://user:{marked}@db.example:5432/app")
