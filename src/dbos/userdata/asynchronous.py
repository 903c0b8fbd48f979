"""The user's database for coroutines: the same phases, each awaited."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sqlalchemy import NullPool
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from dbos.model.serialization import Serialization
from dbos.userdata.database import GuardedSession, UserDatabase
from dbos.userdata.engines import (
    BUSY_PAUSE_SECONDS,
    driver_url,
    engine_options,
    explained,
    is_busy,
    prepare,
    prepare_nothing_for_others,
)
from dbos.userdata.witness import Kind


class AsyncUserDatabase(UserDatabase):
    """A database of the user's, through an async engine of SQLAlchemy."""

    awaited = True

    def __init__(
        self,
        engine: AsyncEngine,
        kind: Kind,
        schema: str,
        sessions: Callable[[], AsyncSession] | None = None,
        codec: Serialization | None = None,
        disposes: bool = True,
    ) -> None:
        super().__init__(engine.sync_engine, kind, schema, None, codec, disposes)
        self._async_engine = engine
        self._async_sessions = sessions or async_sessionmaker(
            engine, expire_on_commit=False, sync_session_class=GuardedSession
        )

    @staticmethod
    def async_engine(url: str, options: Mapping[str, Any]) -> AsyncEngine:
        """The engine of a URL. It keeps no connections, because those belong to one event loop."""
        defaults = {"poolclass": NullPool} if "pool_size" not in options else {}
        engine = create_async_engine(driver_url(url, awaited=True), **{**defaults, **engine_options(url, options)})
        prepare_nothing_for_others(engine.sync_engine, options)
        return engine

    def new_session(self) -> Any:
        return self._async_sessions()

    def phase(self, session: Any, work: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
        return partial(session.run_sync, work, *arguments)

    @property
    def forgets(self) -> bool:
        return self._disposes and isinstance(self._engine.pool, NullPool)  # else its connections belong to a loop

    def _within(self, work: Callable[..., Any], *arguments: Any) -> Any:
        async def within() -> Any:
            async with self._async_engine.begin() as connection:
                return await connection.run_sync(work, *arguments)

        return asyncio.run(within())

    async def prepare_async(self, run_migrations: bool, role: str | None = None) -> None:
        """Create the table of witnesses and let the role use it, or only check that it is there.

        Raises DBOSInitializationError.
        """
        since = time.monotonic()
        with explained(self._engine):
            while True:
                try:
                    async with self._async_engine.begin() as connection:
                        await connection.run_sync(prepare, self.witness, run_migrations, role)
                    return
                except SQLAlchemyError as error:
                    if not is_busy(error, since):
                        raise
                await asyncio.sleep(BUSY_PAUSE_SECONDS)

    async def close_all_async(self) -> None:
        """Close the connections, unless the engine is the user's."""
        if self._disposes:
            await self._async_engine.dispose()
