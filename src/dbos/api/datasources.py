"""Datasources: databases of the user's own, whose transactions are steps of the workflows that call them.

A datasource needs no launched application: outside a workflow its transactions are plain ones. It may be created when a
module is imported, and the async one used from any event loop. SQLAlchemy is loaded when one is created.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypedDict, TypeVar, cast, overload

from dbos.error import DBOSException, DBOSNoTransactionError
from dbos.model.serialization import Serialization, Serializer
from dbos.runtime.callables import is_coroutine_function
from dbos.runtime.context import current_transaction, workflow_body
from dbos.runtime.interpreters import run_async, run_blocking
from dbos.runtime.operations.steps import plain_body, step_spec
from dbos.runtime.registry import TransactionSpec, registered
from dbos.runtime.roles import admitted
from dbos.runtime.transaction import Work, check_isolation_level, perform_within, require_sqlalchemy

if TYPE_CHECKING:
    import sqlalchemy
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
    from sqlalchemy.orm import Session, sessionmaker

    from dbos.userdata.asynchronous import AsyncUserDatabase
    from dbos.userdata.database import UserDatabase

P = ParamSpec("P")
R = TypeVar("R")

IsolationLevel = Literal["SERIALIZABLE", "REPEATABLE READ", "READ COMMITTED"]
SCHEMA = "dbos"


class DatasourceOptions(TypedDict, total=False):
    """How a transaction of a datasource runs; both keys are optional."""

    name: str | None
    isolation_level: IsolationLevel


class _Datasource:
    """What the two kinds share: everything but their colour."""

    def __init__(self, database: UserDatabase) -> None:
        self._database = database

    def _spec(self, options: DatasourceOptions | None, func: Callable[..., Any]) -> TransactionSpec:
        """The checked options of a transaction. Raises DBOSException for those that cannot work, or another colour."""
        unknown = set(options or ()) - set(DatasourceOptions.__annotations__)
        if unknown:
            raise DBOSException(f"Unknown datasource options {sorted(unknown)}; there are name and isolation_level")
        given = options or {}
        name = given.get("name") or getattr(func, "__qualname__", None) or type(func).__qualname__
        step_spec(name, False)  # refuses names that cannot be stored
        awaited, kind = self._database.awaited, type(self).__name__
        if is_coroutine_function(func) != awaited:
            wanted, other = (
                ("a coroutine", "SQLAlchemyDatasource") if awaited else ("a plain", "AsyncSQLAlchemyDatasource")
            )
            raise DBOSException(f"{name} must be {wanted} function to be a transaction of a {kind}; see {other}")
        return TransactionSpec(name, check_isolation_level(given.get("isolation_level", "SERIALIZABLE")))

    def _work(self, spec: TransactionSpec, call: Callable[[], Any]) -> Work:
        attempt = workflow_body()
        step_id = 0
        if attempt is not None:
            attempt.engine.expect_witnesses(self._database)
            step_id = attempt.next_step_id()
        return Work(self._database, spec, call, self._database.awaited, attempt, step_id, owner=self)

    def _session(self) -> Any:
        transaction = current_transaction()
        while transaction is not None and transaction.owner is not self:
            transaction = transaction.outer
        if transaction is None:
            raise DBOSNoTransactionError(f"{type(self).__name__}.sql_session()")
        return transaction.session


class SQLAlchemyDatasource(_Datasource):
    """A database of the user's, for plain functions."""

    @classmethod
    def create(
        cls,
        database_url: str | None,
        engine_kwargs: dict[str, Any] | None = None,
        engine: sqlalchemy.Engine | None = None,
        schema: str | None = None,
        serializer: Serializer | None = None,
        sessionmaker: sessionmaker[Any] | None = None,
        run_migrations: bool = True,
    ) -> SQLAlchemyDatasource:
        """Connect to a database, and create the table `datasource_outputs` in it.

        Args:
            database_url: `postgresql://...` or `sqlite:///...`.
            engine_kwargs: For `sqlalchemy.create_engine`.
            engine: Used in place of the two above, and never disposed of.
            schema: Of the table, on Postgres; by default `dbos`.
            serializer: Of the outcomes in that table; by default as workflows store them.
            sessionmaker: Makes the sessions, bound to the same database.
            run_migrations: False: only check that the table is there.

        Raises DBOSInitializationError if the database cannot be used.
        """
        require_sqlalchemy(cls.__name__)
        from dbos.userdata import database as room

        ours = engine is None
        engine = room.UserDatabase.engine(_required(database_url), engine_kwargs or {}) if engine is None else engine
        codec = Serialization(serializer)
        database = room.UserDatabase(engine, "datasource", schema or SCHEMA, sessionmaker, codec, disposes=ours)
        try:
            database.prepare(run_migrations)
        except BaseException:
            database.close_all()
            raise
        return cls(database)

    @overload
    def transaction(self, func: Callable[P, R], /) -> Callable[P, R]: ...
    @overload
    def transaction(
        self, func: None = None, *, name: str | None = None, isolation_level: IsolationLevel = "SERIALIZABLE"
    ) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
    def transaction(
        self, func: Any = None, *, name: str | None = None, isolation_level: IsolationLevel = "SERIALIZABLE"
    ) -> Any:
        """Decorate a function as a transaction of this database; with or without parentheses.

        Args:
            func: The function, if there are no parentheses.
            name: The name its step is recorded under; by default its qualified name.
            isolation_level: As for `@DBOS.transaction`.

        Raises DBOSException for a coroutine function.
        """

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            spec = self._spec({"name": name, "isolation_level": isolation_level}, function)

            @wraps(function)
            def call(*args: P.args, **kwargs: P.kwargs) -> R:
                return cast(R, self._run(spec, partial(function, *args, **kwargs)))

            return call

        return decorate if func is None else decorate(func)

    def run_tx_step(
        self, ds_options: DatasourceOptions | None, func: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run any function as a transaction of this database.

        Args:
            ds_options: See DatasourceOptions; None for the defaults.
            func: The function; its arguments follow.
        """
        with admitted(registered(func)):
            return cast(R, self._run(self._spec(ds_options, func), partial(plain_body(func), *args, **kwargs)))

    def _run(self, spec: TransactionSpec, call: Callable[[], Any]) -> Any:
        work = self._work(spec, call)
        return run_blocking(work.engine, perform_within(work)).unwrap()

    def sql_session(self) -> Session:
        """The session of the transaction this code runs in. Raises DBOSNoTransactionError outside one."""
        return cast("Session", self._session())

    def run_migrations(self) -> None:
        """Create the table `datasource_outputs`, if it is not there."""
        self._database.prepare(True)

    def verify_migrations(self) -> None:
        """Raises DBOSInitializationError if the table is not there, or not ours."""
        self._database.prepare(False)

    @staticmethod
    def migrate(database_url: str, *, schema: str | None = None, application_role: str | None = None) -> None:
        """Create the table `datasource_outputs` in a database, and let a role use it (Postgres)."""
        require_sqlalchemy("SQLAlchemyDatasource")
        from dbos.userdata import database as room

        database = room.UserDatabase(room.UserDatabase.engine(database_url, {}), "datasource", schema or SCHEMA)
        try:
            database.prepare(True, application_role)
        finally:
            database.close_all()

    def close(self) -> None:
        """Close its connections, unless the engine was supplied."""
        self._database.close_all()


class AsyncSQLAlchemyDatasource(_Datasource):
    """A database of the user's, for coroutine functions."""

    _database: AsyncUserDatabase

    @classmethod
    async def create(
        cls,
        database_url: str | None,
        engine_kwargs: dict[str, Any] | None = None,
        engine: AsyncEngine | None = None,
        schema: str | None = None,
        serializer: Serializer | None = None,
        sessionmaker: async_sessionmaker[Any] | None = None,
        run_migrations: bool = True,
    ) -> AsyncSQLAlchemyDatasource:
        """Connect to a database, and create the table `datasource_outputs` in it; see `SQLAlchemyDatasource.create`.

        By default no connection is kept between transactions, so that every event loop may use it.
        """
        require_sqlalchemy(cls.__name__)
        from dbos.userdata import asynchronous as room

        ours = engine is None
        engine = (
            room.AsyncUserDatabase.async_engine(_required(database_url), engine_kwargs or {})
            if engine is None
            else engine
        )
        codec = Serialization(serializer)
        database = room.AsyncUserDatabase(engine, "datasource", schema or SCHEMA, sessionmaker, codec, disposes=ours)
        try:
            await database.prepare_async(run_migrations)
        except BaseException:
            await database.close_all_async()
            raise
        return cls(database)

    @overload
    def transaction(self, func: Callable[P, Coroutine[Any, Any, R]], /) -> Callable[P, Coroutine[Any, Any, R]]: ...
    @overload
    def transaction(
        self, func: None = None, *, name: str | None = None, isolation_level: IsolationLevel = "SERIALIZABLE"
    ) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Callable[P, Coroutine[Any, Any, R]]]: ...
    def transaction(
        self, func: Any = None, *, name: str | None = None, isolation_level: IsolationLevel = "SERIALIZABLE"
    ) -> Any:
        """Decorate a coroutine function as a transaction of this database; with or without parentheses.

        Args:
            func: The function, if there are no parentheses.
            name: The name its step is recorded under; by default its qualified name.
            isolation_level: As for `@DBOS.transaction`.

        Raises DBOSException for a plain function.
        """

        def decorate(function: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
            spec = self._spec({"name": name, "isolation_level": isolation_level}, function)

            @wraps(function)
            async def call(*args: P.args, **kwargs: P.kwargs) -> R:
                return cast(R, await self._run(spec, partial(function, *args, **kwargs)))

            return call

        return decorate if func is None else decorate(func)

    async def run_tx_step_async(
        self,
        ds_options: DatasourceOptions | None,
        func: Callable[P, Coroutine[Any, Any, R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run any coroutine function as a transaction of this database; see `SQLAlchemyDatasource.run_tx_step`."""
        with admitted(registered(func)):
            return cast(R, await self._run(self._spec(ds_options, func), partial(plain_body(func), *args, **kwargs)))

    async def _run(self, spec: TransactionSpec, call: Callable[[], Any]) -> Any:
        work = self._work(spec, call)
        try:
            outcome = await run_async(work.engine, perform_within(work))
        except GeneratorExit:
            raise  # abandoned: nobody is there to await anything
        except BaseException:
            for session in work.sessions:
                await session.close()
            raise
        return outcome.unwrap()

    def sql_session(self) -> AsyncSession:
        """The session of the transaction this code runs in. Raises DBOSNoTransactionError outside one."""
        return cast("AsyncSession", self._session())

    async def run_migrations(self) -> None:
        """Create the table `datasource_outputs`, if it is not there."""
        await self._database.prepare_async(True)

    async def verify_migrations(self) -> None:
        """Raises DBOSInitializationError if the table is not there, or not ours."""
        await self._database.prepare_async(False)

    @staticmethod
    async def migrate(database_url: str, *, schema: str | None = None, application_role: str | None = None) -> None:
        """Create the table `datasource_outputs` in a database, and let a role use it (Postgres)."""
        require_sqlalchemy("AsyncSQLAlchemyDatasource")
        from dbos.userdata import asynchronous as room

        engine = room.AsyncUserDatabase.async_engine(database_url, {})
        database = room.AsyncUserDatabase(engine, "datasource", schema or SCHEMA)
        try:
            await database.prepare_async(True, application_role)
        finally:
            await database.close_all_async()

    async def close(self) -> None:
        """Close its connections, unless the engine was supplied."""
        await self._database.close_all_async()


def _required(database_url: str | None) -> str:
    if database_url is None:
        raise DBOSException("A datasource needs a database_url, or an engine")
    return database_url
