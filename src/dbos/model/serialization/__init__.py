"""How values become text and back: what a user's serializer is, and what happens without one.

By default plain data is stored as JSON that a person can read, and everything else as pickle. The name of the codec
stands beside each value, so that a value stays readable when the configuration changes.
"""

from dbos.model.serialization.codec import JSON, PICKLE, Serialization
from dbos.model.serialization.portable import PORTABLE_JSON, DBOSPortableJSONSerializer
from dbos.model.serialization.serializer import Serializer, WorkflowSerializationFormat, require_format

__all__ = [
    "JSON",
    "PICKLE",
    "PORTABLE_JSON",
    "DBOSPortableJSONSerializer",
    "Serialization",
    "Serializer",
    "WorkflowSerializationFormat",
    "require_format",
]
