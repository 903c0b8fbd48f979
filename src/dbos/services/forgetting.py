"""Drop the witnesses of datasources that nobody will ask again.

A witness is needed until its step is recorded, and as long as another execution may still be about to commit the same
step. Whoever began that before the step was recorded either has ended since, or asks before it commits whether the
workflow is still its own (`LONG_SECONDS` in runtime/transaction.py). So a witness goes when its workflow has ended, its
step is recorded, and it is an hour old. The witnesses of workflows that we do not know are somebody else's.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from dbos.runtime.executor import Executor
from dbos.services.service import Service
from dbos.userdata.troubles import is_away, is_clash

if TYPE_CHECKING:
    from dbos.userdata.database import UserDatabase

logger = logging.getLogger("dbos")

SWEEP_SECONDS = 600.0
KEPT_SECONDS = 3600.0  # far longer than a transaction runs without asking
PAGE = 100  # workflows


class Forgetting(Service):
    """Sweeps now and then through the datasources that workflows of this process have used."""

    name = "forgetting"
    engine: Executor

    def poll(self) -> float | None:
        """Sweep through all of them; wait until there are any."""
        for database in tuple(self.engine.witnesses):
            if database.forgets:
                try:
                    self._sweep(database)
                except Exception as error:
                    if not is_away(error) and not is_clash(error):
                        raise
                    logger.info("Old witnesses are left for later: %s", error)
        return SWEEP_SECONDS if self.engine.witnesses else None

    def _sweep(self, database: UserDatabase) -> None:
        store, last = self.engine.store, ""
        while aged := database.aged(KEPT_SECONDS, last, PAGE):
            ended = [workflow_id for workflow_id, exists in store.workflows.ended(aged) if exists]
            steps = [
                (step.workflow_uuid, step.function_id)
                for workflow_id in ended
                for step in store.steps.list(workflow_id, load_output=False)
            ]
            if steps:
                database.forget(steps, KEPT_SECONDS)
            last = aged[-1]
