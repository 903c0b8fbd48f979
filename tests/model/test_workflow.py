from dbos.model.workflow import ACTIVE, FINISHED, LEGAL_MOVES, Status


def test_every_status_is_in_the_table() -> None:
    assert set(LEGAL_MOVES) == {None, *Status}


def test_finished_and_active_share_nothing() -> None:
    assert set(Status) == FINISHED | ACTIVE
    assert not FINISHED & ACTIVE


def test_what_is_finished_starts_again_only_through_a_queue() -> None:
    """Resume and rewind enqueue; nothing turns one outcome into another, except that a dead letter may be cancelled."""
    for status in FINISHED - {Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED}:
        assert LEGAL_MOVES[status] == {Status.ENQUEUED}
    assert LEGAL_MOVES[Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED] == {Status.ENQUEUED, Status.CANCELLED}


def test_only_running_workflows_succeed_or_fail() -> None:
    for outcome in (Status.SUCCESS, Status.ERROR):
        assert {status for status, following in LEGAL_MOVES.items() if outcome in following} == {Status.PENDING}


def test_every_active_status_can_be_cancelled_and_left() -> None:
    for status in ACTIVE:
        assert Status.CANCELLED in LEGAL_MOVES[status]
        assert status not in LEGAL_MOVES[status]


def test_every_status_can_be_reached() -> None:
    reached: set[Status] = set()
    front = set(LEGAL_MOVES[None])
    while front:
        reached |= front
        front = {after for status in front for after in LEGAL_MOVES[status]} - reached
    assert reached == set(Status)
