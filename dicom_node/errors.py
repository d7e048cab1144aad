"""One tree of errors. The class says what to do next, its docstring is the default message.

NodeError
├── Refused                 the thing asked for is wrong; asking again will not help
│   ├── ConfigError         configuration does not say a valid thing
│   ├── InstanceRefused     an object cannot be looked at (carries a Reason)
│   ├── ModelRefused        weights are missing, altered or of another kind
│   ├── ObjectTooLarge      an object is larger than its sender may send
│   ├── NodeRunning         this must not be done while the node runs
│   └── DatabaseRefused     the database is not one that this software can use
├── Transient               may work later, unchanged
│   ├── DiskFull            the spool has no room
│   ├── StorageUnavailable  the file system does not let us write or read
│   ├── DatabaseUnavailable the database is locked or cannot be reached
│   │   ├── OutcomeUnknown  the connection broke: what was under way may have been committed, now or in a moment
│   │   └── Contended       another transaction has a row that this one needs
│   ├── DestinationUnreachable
│   └── LeaseLost           another worker owns the job now
└── Permanent               will not work by waiting; a person must look
    └── DestinationRefused
"""

from __future__ import annotations

import os

from inference.domain import REASON_TEXT, Reason


class NodeError(Exception):
    """Something went wrong in the node."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])


class Refused(NodeError):
    """The request is wrong and was refused."""


class ConfigError(Refused):
    """The configuration is not valid."""


class InstanceRefused(Refused):
    """The object cannot be measured."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{REASON_TEXT[reason]} {detail}".strip())
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type[InstanceRefused], tuple[Reason, str]]:
        """How it is copied: from what it was made of, which is not the message."""
        return type(self), (self.reason, self.detail)


class ModelRefused(Refused):
    """The model file is missing, altered or of another kind."""


class ObjectTooLarge(Refused):
    """The object is larger than this peer may send."""


class NodeRunning(Refused):
    """The node is running on this data folder: stop it first."""


class DatabaseRefused(Refused):
    """The database is not one that this software can use."""


class Transient(NodeError):
    """The action failed and may succeed later."""


class DiskFull(Transient):
    """There is no room left on the storage file system."""


class StorageUnavailable(Transient):
    """The file system does not let us write or read."""


class TemporaryFolderUnwritable(OSError):
    """The temporary folder cannot be written: trouble of the file system, and no fault of the file that is read."""

    def __init__(self, number: int | None) -> None:
        reason = os.strerror(number) if number else "unknown"
        super().__init__(number, f"the temporary folder cannot be written: {reason}")


class DatabaseUnavailable(Transient):
    """The database is locked or cannot be reached."""


class OutcomeUnknown(DatabaseUnavailable):
    """The connection to the database broke."""


class Contended(DatabaseUnavailable):
    """Another transaction has a row of the database that this one needs."""


class DestinationUnreachable(Transient):
    """The destination did not answer."""


class LeaseLost(Transient):
    """Another worker has taken over the job."""


class Permanent(NodeError):
    """The action failed and will not succeed by waiting."""


class DestinationRefused(Permanent):
    """The destination refused the object."""
