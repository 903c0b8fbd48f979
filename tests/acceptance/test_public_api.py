"""The public names, their signatures, their documentation and their types."""

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dbos
from dbos import DBOS, DBOSConfig, WorkflowHandle, WorkflowHandleAsync

ROOT = Path(__file__).parents[2]

NAMES = """
    DBOS DBOSConfig DBOSConfiguredInstance DBOSContextEnsure DBOSContextSetAuth DuplicationPolicy EnqueueOptions
    GetWorkflowsInput KafkaMessage Queue QueueRateLimit SendMessage Serializer SetEnqueueOptions SetShardKey
    SetWorkflowAttributes PropagateOtelContext SetWorkflowID SetWorkflowTimeout StepInfo StepOptions StepReservation
    WorkflowHandle WorkflowHandleAsync
    WorkflowIDReusePolicy WorkflowSerializationFormat WorkflowStatus WorkflowStatusString error
    DBOSClient AsyncSQLAlchemyDatasource DatasourceOptions SQLAlchemyDatasource
    Debouncer DebouncerClient
    run_dbos_database_migrations
    DBOSPortableJSONSerializer PortableWorkflowError make_pydantic_args_validator pydantic_args_validator
    VersionInfo ClientScheduleInput ScheduleInput WorkflowSchedule
"""

MEMBERS = [
    (DBOS.workflow, "name=None max_recovery_attempts=100 serialization_type=None validate_args=None auto_upgrade=None"),
    (
        DBOS.step,
        "name=None retries_allowed=False interval_seconds=1.0 max_attempts=3 backoff_rate=2.0 should_retry=None "
        "preemptible=False timeout_seconds=None",
    ),
    (DBOS.transaction, "isolation_level='SERIALIZABLE' name=None"),
    (DBOS.dbos_class, "class_name=None"),
    (DBOS.required_roles, "roles"),
    (dbos.make_pydantic_args_validator, "func"),
    (dbos.PortableWorkflowError, "message name code=None data=None"),
    (DBOS.default_required_roles, "roles"),
    (DBOS.launch, "debug_mode=False"),
    (DBOS.destroy, "workflow_completion_timeout_sec=0 destroy_registry=False"),
    (DBOS.reset_system_database, "system_database_url=None schema=None truncate=False"),
    (DBOS.listen_queues, "queues"),
    (DBOS.migrate, "system_database_url schema='dbos' application_role=None sharding=False"),
    (
        dbos.run_dbos_database_migrations,
        "system_database_url schema='dbos' application_role=None sharding=False",
    ),
    (DBOS.start_workflow, "func *args **kwargs"),
    (DBOS.retrieve_workflow, "workflow_id existing_workflow=True shard_key=None"),
    (DBOS.get_result, "workflow_id polling_interval_sec=1.0 shard_key=None"),
    (DBOS.wait_first, "handles polling_interval_sec=1.0"),
    (DBOS.run_step, "dbos_step_options func *args **kwargs"),
    (DBOS.reserve_step, ""),
    (DBOS.sleep, "seconds"),
    (DBOS.write_stream, "key value serialization_type=<WorkflowSerializationFormat.DEFAULT: 'None'>"),
    (DBOS.close_stream, "key"),
    (
        DBOS.read_stream,
        "workflow_id key offset=0 polling_interval_sec=None timeout_seconds=None shard_key=None",
    ),
    (DBOS.read_stream_offset, "workflow_id key offset polling_interval_sec=None timeout_seconds=None"),
    (DBOS.asyncio_wait, "fs timeout=None return_when='ALL_COMPLETED'"),
    (
        DBOS.send,
        "destination_id message topic=None idempotency_key=None "
        "serialization_type=<WorkflowSerializationFormat.DEFAULT: 'None'> send_to_forks=False",
    ),
    (
        DBOS.send_bulk,
        "messages serialization_type=<WorkflowSerializationFormat.DEFAULT: 'None'> send_to_forks=False",
    ),
    (dbos.SendMessage, "destination_id message topic=None idempotency_key=None"),
    (DBOS.recv, "topic=None timeout_seconds=60"),
    (DBOS.set_event, "key value serialization_type=<WorkflowSerializationFormat.DEFAULT: 'None'>"),
    (DBOS.get_event, "workflow_id key timeout_seconds=60"),
    (DBOS.get_all_events, "workflow_id"),
    (DBOS.get_workflow_status, "workflow_id"),
    (
        DBOS.list_workflows,
        "workflow_ids=None status=None start_time=None end_time=None completed_after=None completed_before=None "
        "dequeued_after=None dequeued_before=None name=None app_version=None forked_from=None "
        "user=None parent_workflow_id=None queue_name=None limit=None offset=None sort_desc=False "
        "workflow_id_prefix=None load_input=True load_output=True executor_id=None queues_only=False "
        "was_forked_from=None has_parent=None attributes=None schedule_name=None application_name=None is_fork=None "
        "parent_shard_key=None",
    ),
    (DBOS.scheduled, "cron"),
    (
        DBOS.create_schedule,
        "schedule_name workflow_fn schedule context=None automatic_backfill=False cron_timezone=None queue_name=None",
    ),
    (DBOS.apply_schedules, "schedules"),
    (
        DBOS.list_schedules,
        "status=None workflow_name=None schedule_name_prefix=None application_name=None",
    ),
    (DBOS.get_schedule, "name"),
    (DBOS.delete_schedule, "name"),
    (DBOS.pause_schedule, "name"),
    (DBOS.resume_schedule, "name"),
    (DBOS.backfill_schedule, "schedule_name start end"),
    (DBOS.trigger_schedule, "schedule_name"),
    (DBOS.list_workflow_steps, "workflow_id load_output=True limit=None offset=None"),
    (DBOS.cancel_workflow, "workflow_id cancel_children=False"),
    (DBOS.cancel_workflows, "workflow_ids cancel_children=False"),
    (DBOS.resume_workflow, "workflow_id queue_name=None"),
    (DBOS.resume_workflows, "workflow_ids queue_name=None"),
    (
        DBOS.fork_workflow,
        "workflow_id start_step application_version=None queue_name=None queue_partition_key=None "
        "replacement_children=None timeout_seconds=None",
    ),
    (
        DBOS.fork_from_failure,
        "workflow_ids application_version=None queue_name=None queue_partition_key=None timeout_seconds=None",
    ),
    (
        DBOS.rewind_workflow,
        "workflow_id start_step=None application_version=None queue_name=None queue_partition_key=None",
    ),
    (DBOS.garbage_collect, "cutoff_epoch_timestamp_ms=None rows_threshold=None"),
    (DBOS.global_timeout, "cutoff_epoch_timestamp_ms"),
    (DBOS.export_workflow, "workflow_id export_children=False"),
    (DBOS.import_workflow, "document"),
    (DBOS.patch, "patch_name"),
    (DBOS.deprecate_patch, "patch_name"),
    (DBOS.list_application_versions, ""),
    (DBOS.get_latest_application_version, ""),
    (DBOS.set_latest_application_version, "version_name application_name=None"),
    (DBOS.delete_workflow, "workflow_id delete_children=False"),
    (DBOS.delete_workflows, "workflow_ids delete_children=False"),
    (DBOS.update_workflow_attributes, "workflow_id attributes merge=False"),
    (
        dbos.Queue,
        "name concurrency=None limiter=None worker_concurrency=None priority_enabled=False partition_queue=False "
        "polling_interval_sec=1.0 global_concurrency=None partition_concurrency=None partition_worker_concurrency=None "
        "partition_limiter=None",
    ),
    (dbos.Queue.enqueue, "self func *args **kwargs"),
    (dbos.Queue.enqueue_async, "self func *args **kwargs"),
    (
        DBOS.register_queue,
        "name worker_concurrency=None global_concurrency=None partition_concurrency=None "
        "partition_worker_concurrency=None partition_limiter=None limiter=None polling_interval_sec=1.0 "
        "on_conflict='update_if_latest_version' concurrency=None priority_enabled=False partition_queue=False",
    ),
    (DBOS.retrieve_queue, "name"),
    (DBOS.list_queues, "application_name=None"),
    (DBOS.delete_queue, "name"),
    (DBOS.enqueue_workflow, "queue_name func *args **kwargs"),
    (DBOS.enqueue_workflow_with_options, "options *args **kwargs"),
    (
        DBOS.list_queued_workflows,
        "workflow_ids=None status=None start_time=None end_time=None completed_after=None completed_before=None "
        "dequeued_after=None dequeued_before=None name=None app_version=None forked_from=None "
        "user=None parent_workflow_id=None queue_name=None limit=None offset=None sort_desc=False "
        "workflow_id_prefix=None load_input=True load_output=True executor_id=None "
        "has_parent=None attributes=None application_name=None is_fork=None parent_shard_key=None",
    ),
    (DBOS.set_workflow_delay, "workflow_id delay_seconds=None delay_until_epoch_ms=None"),
    (DBOS.set_authentication, "authenticated_user authenticated_roles"),
    (WorkflowHandle.get_result, "self polling_interval_sec=1.0"),
    (WorkflowHandleAsync.get_result, "self polling_interval_sec=1.0"),
    (
        dbos.SQLAlchemyDatasource.create,
        "database_url engine_kwargs=None engine=None schema=None serializer=None sessionmaker=None run_migrations=True",
    ),
    (
        dbos.AsyncSQLAlchemyDatasource.create,
        "database_url engine_kwargs=None engine=None schema=None serializer=None sessionmaker=None run_migrations=True",
    ),
    (dbos.SQLAlchemyDatasource.transaction, "self func=None name=None isolation_level='SERIALIZABLE'"),
    (dbos.SQLAlchemyDatasource.run_tx_step, "self ds_options func *args **kwargs"),
    (dbos.AsyncSQLAlchemyDatasource.run_tx_step_async, "self ds_options func *args **kwargs"),
    (dbos.SQLAlchemyDatasource.migrate, "database_url schema=None application_role=None"),
    (dbos.SetWorkflowID, "wfid workflow_id_reuse_policy=None"),
    (dbos.SetWorkflowTimeout, "workflow_timeout_sec"),
    (
        dbos.SetEnqueueOptions,
        "deduplication_id=None priority=None app_version=None queue_partition_key=None delay_seconds=None "
        "duplication_policy=None",
    ),
    (dbos.SetWorkflowAttributes, "attributes"),
    (dbos.DBOSContextSetAuth, "user roles"),
]


def written(func: Callable[..., Any]) -> str:
    """The parameters a caller can name, as they are written in MEMBERS."""
    parts = []
    for each in inspect.signature(func).parameters.values():
        star = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "")
        default = "" if each.default is each.empty else f"={each.default!r}"
        parts.append(f"{star}{each.name}{default}")
    return " ".join(part for part in parts if part != "*misplaced")


def test_the_public_names() -> None:
    assert set(dbos.__all__) == set(NAMES.split())
    assert list(dbos.__all__) == sorted(dbos.__all__, key=lambda name: (name.islower(), not name.isupper(), name))
    for name in dbos.__all__:
        assert getattr(dbos, name) is not None
    assert inspect.ismodule(dbos.error)


@pytest.mark.parametrize(("member", "parameters"), MEMBERS, ids=lambda each: getattr(each, "__qualname__", ""))
def test_signatures(member: Callable[..., Any], parameters: str) -> None:
    assert written(member) == parameters


def public_members() -> list[tuple[str, Any]]:
    named = {name: getattr(dbos, name) for name in dbos.__all__}
    classes = [each for each in named.values() if inspect.isclass(each)]
    functions = [(name, each) for name, each in named.items() if inspect.isfunction(each)]
    members = [
        (f"{cls.__name__}.{name}", value)
        for cls in classes
        for owner in cls.__mro__
        if owner.__module__.startswith("dbos.")
        for name, value in vars(owner).items()
    ]
    visible = [(name, value) for name, value in members if not name.partition(".")[2].startswith("_")]
    return functions + [(cls.__name__, cls) for cls in classes] + visible


def test_everything_public_is_documented_and_annotated() -> None:
    undocumented, unannotated = [], []
    for name, value in public_members():
        value = getattr(value, "__func__", value)  # noqa: PLW2901
        if not (callable(value) or isinstance(value, property)):
            continue
        if not inspect.getdoc(value):
            undocumented.append(name)
        if inspect.isfunction(value):
            parameters = inspect.signature(value).parameters.values()
            missing = [each.name for each in parameters if each.annotation is each.empty]
            if [each for each in missing if each not in ("self", "cls")]:
                unannotated.append((name, missing))
    assert undocumented == []
    assert unannotated == []


def test_every_documented_configuration_key_is_typed() -> None:
    keys = """
        name system_database_url application_database_url database_url sys_db_pool_size sys_db_polling_concurrency
        db_engine_kwargs sys_db_idle_transaction_timeout_sec dbos_system_schema system_database_engine
        use_listen_notify run_migrations notification_listener_polling_interval_sec notification_coalesce_sec
        observability_query_timeout_sec application_version executor_id enable_patching auto_upgrade
        auto_upgrade_interval_sec auto_upgrade_grace_sec enable_otlp otlp_traces_endpoints otlp_logs_endpoints
        otlp_attributes otel_attribute_format log_level otlp_log_level console_log_level run_admin_server admin_port
        conductor_key conductor_url conductor_executor_metadata conductor_metadata_only_mode transact_enterprise_key
        sharding max_executor_threads scheduler_polling_interval_sec kafka_queue_polling_interval_sec serializer
    """
    assert set(keys.split()) <= set(DBOSConfig.__annotations__)


@pytest.mark.timeout(180)  # the first run of the checker reads everything
def test_types_as_a_checker_sees_them() -> None:
    pytest.importorskip("mypy")
    program = Path(__file__).with_name("typed_program.py")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(program.relative_to(ROOT))]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=170)
    assert (answer.stdout, answer.returncode) == ("", 0)


@pytest.mark.timeout(180)
def test_types_as_pyright_sees_them(tmp_path: Path) -> None:
    """It believes decorators of classes, which mypy passes over, and infers what mypy asks to be told."""
    pytest.importorskip("basedpyright")
    project = tmp_path / "pyrightconfig.json"
    settings = {
        "include": [str(Path(__file__).with_name("typed_program.py"))],
        "extraPaths": [str(ROOT / "src")],
        "typeCheckingMode": "standard",
        "enableTypeIgnoreComments": True,
        "reportUnnecessaryTypeIgnoreComment": "error",
        "pythonVersion": "3.11",
    }
    project.write_text(json.dumps(settings))
    command = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable, "--project", str(project)]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=170)
    assert answer.returncode == 0, answer.stdout


def test_importing_is_light(fresh_database_url: str) -> None:
    """Nothing heavy is imported before it is needed, and a program without coroutines never loads asyncio.

    Of the standard library nothing that takes long, beyond what a driver brings; of ours nothing for other programs.
    """
    of_drivers = {"asyncio", "dataclasses", "decimal", "inspect", "ipaddress", "pathlib", "psycopg", "socket", "urllib"}
    program = """if True:
        import sys
        before = set(sys.modules)
        import dbos

        def show_heavy_modules() -> None:
            heavy = {"asyncio", "click", "decimal", "opentelemetry", "psycopg", "pydantic", "socket", "sqlalchemy"}
            heavy |= {"dataclasses", "hashlib", "inspect", "ipaddress", "pathlib", "platform", "urllib", "uuid"}
            heavy |= {f"dbos.api.{each}" for each in ("client", "client_calls", "datasources", "debouncer", "guests")}
            heavy |= {"dbos.admin", "dbos.cli", "dbos.testing", "dbos.userdata.database"}
            print(*heavy & set(sys.modules) - before)

        @dbos.DBOS.workflow()
        def workflow() -> int:
            dbos.DBOS.sleep(0)
            return dbos.DBOS.run_step(None, lambda: 1)

        show_heavy_modules()
        queue = dbos.Queue("some-queue")
        dbos.DBOS(config={"name": "light", "system_database_url": sys.argv[1]})
        dbos.DBOS.launch()
        assert workflow() + queue.enqueue(workflow).get_result() == 2
        dbos.DBOS.destroy()
        show_heavy_modules()
    """
    command = [sys.executable, "-c", program, fresh_database_url]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    when_imported, at_the_end = answer.splitlines()
    assert when_imported == ""
    assert set(at_the_end.split()) <= (set() if fresh_database_url.startswith("sqlite") else of_drivers)


def test_what_is_imported_late_looks_like_the_rest() -> None:
    program = """if True:
        import dbos
        shown = set(dir(dbos))
        assert set(dbos.__all__) <= shown, set(dbos.__all__) - shown
        assert "DBOSClient" not in vars(dbos)
        assert dbos.DBOSClient.__module__ == "dbos.api.client"
        assert "DBOSClient" in vars(dbos)  # looked for once
        from dbos import *
        assert Debouncer is dbos.Debouncer and EnqueueOptions is dbos.EnqueueOptions
        try:
            dbos.Absent
        except AttributeError as error:
            assert "module 'dbos' has no attribute 'Absent'" in str(error)
        else:
            raise AssertionError("found")
    """
    subprocess.run([sys.executable, "-c", program], check=True)
