"""What operators ask: finds the operation, reads its arguments, makes the reply.

The caller comes from the topic or from who is signed in on the page, never from the payload; what
they may do is judged here, once for both.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from attrs import frozen

from fleet.manager.operations import (
    actions,
    applying,
    calling,
    check,
    doctor,
    history,
    joining,
    notifications,
    people,
    recordings,
    schedule,
    secrets,
    stations,
)
from fleet.manager.operations.desk import Desk
from fleet.manager.store import DEADLINE, BadStore
from fleet.model import (
    MAX_REQUEST,
    CommandFailed,
    DeadlineExceeded,
    InvalidArguments,
    Refusal,
    Reply,
    UnknownCommand,
)
from fleet.operations.actions import (
    AudioArguments,
    CallArguments,
    CutArguments,
    RestartByHand,
    RoomMixer,
    StartArguments,
    StopArguments,
)
from fleet.operations.check import CheckArguments
from fleet.operations.history import DiffArguments, HistoryArguments, ShowArguments
from fleet.operations.joining import (
    ApproveArguments,
    RevokeArguments,
    RotateArguments,
    TokenArguments,
)
from fleet.operations.notifications import AckArguments, NotifyArguments
from fleet.operations.people import UserAddArguments, UserPasswdArguments, UserRemoveArguments
from fleet.operations.plans import PlanArguments, ValidateArguments
from fleet.operations.recordings import CutListArguments, MarkArguments, RecordingsArguments
from fleet.operations.rollouts import ApplyArguments, RollbackArguments, RolloutArguments
from fleet.operations.schedule import ScheduleArguments
from fleet.operations.secrets import SecretSetArguments
from fleet.operations.stations import (
    AdoptArguments,
    MaintenanceArguments,
    RetireArguments,
    TalkArguments,
)
from fleet.wire import Undecodable, decode, encode, to_json

log = logging.getLogger(__name__)


@frozen
class _NoArguments:
    """Nothing is asked for but the operation itself."""


Operation = tuple[type[Any], Callable[[Desk, str, Any], Awaitable[Any]]]
"""The class of its arguments, and what does it."""
OPERATIONS: Final[Mapping[str, Operation]] = {
    "plan": (PlanArguments, applying.plan_file),
    "apply": (ApplyArguments, applying.apply),
    "status": (_NoArguments, stations.status),
    "rollout": (RolloutArguments, history.rollout),
    "rollback": (RollbackArguments, applying.rollback),
    "validate": (ValidateArguments, applying.validate),
    "history": (HistoryArguments, history.history),
    "show": (ShowArguments, history.show),
    "diff": (DiffArguments, history.diff),
    "export": (_NoArguments, history.export_file),
    "retire": (RetireArguments, stations.retire),
    "adopt": (AdoptArguments, stations.adopt),
    "maintenance": (MaintenanceArguments, stations.maintenance),
    "talk": (TalkArguments, stations.talk),
    "ack": (AckArguments, notifications.ack),
    "notify": (NotifyArguments, notifications.notify),
    "schedule": (ScheduleArguments, schedule.schedule),
    "recordings": (RecordingsArguments, recordings.recordings),
    "cutlist": (CutListArguments, recordings.cutlist),
    "mark": (MarkArguments, recordings.mark),
    "stop": (StopArguments, actions.stop),
    "start": (StartArguments, actions.start),
    "restart": (RestartByHand, actions.restart),
    "call": (CallArguments, calling.call),
    "mixer": (RoomMixer, calling.mixer),
    "cut": (CutArguments, calling.cut),
    "audio": (AudioArguments, calling.audio),
    "live": (RoomMixer, calling.live),
    "blank": (RoomMixer, calling.blank),
    "secrets": (_NoArguments, secrets.secrets),
    "secret_set": (SecretSetArguments, secrets.secret_set),
    "doctor": (_NoArguments, doctor.doctor),
    "check": (CheckArguments, check.check),
    "token": (TokenArguments, joining.token),
    "waiting": (_NoArguments, joining.waiting),
    "approve": (ApproveArguments, joining.approve),
    "revoke": (RevokeArguments, joining.revoke),
    "rotate": (RotateArguments, joining.rotate),
    "user_list": (_NoArguments, people.user_list),
    "user_add": (UserAddArguments, people.user_add),
    "user_passwd": (UserPasswdArguments, people.user_passwd),
    "user_remove": (UserRemoveArguments, people.user_remove),
}

_LONG: Final = frozenset({"recordings", "cutlist"})
"""Answers that may have thousands of talks: to encode one would hold the event loop."""


class OperatorRequests:
    """Answers requests at one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def answer(
        self, caller: str, operation: str, payload: bytes, deadline: float = math.inf
    ) -> bytes:
        """The reply to a request, as it travels. Never raises for what was asked.

        `deadline`: in monotonic seconds; after it nothing is done any more, because whoever
        asked was told that nobody answered.
        """
        DEADLINE.set(deadline)
        try:
            if time.monotonic() > deadline:
                raise DeadlineExceeded("it was asked too long ago; nothing was changed")
            if operation not in OPERATIONS:
                raise UnknownCommand(
                    f"this manager has no operation {operation!r} (it has: "
                    f"{', '.join(OPERATIONS)}); are `fleet` and `fleet-manager` of the same "
                    "version?"
                )
            desk = self._desk
            desk.people.let_in(caller)
            arguments, work = OPERATIONS[operation]
            asked = _arguments(payload, arguments)
            desk.people.allow(caller, operation, asked, lambda: desk.touched(asked))
            result = await work(desk, caller, asked)
            if operation in _LONG:
                reply = await asyncio.to_thread(lambda: encode(Reply(to_json(result), None)))
            else:
                reply = encode(Reply(to_json(result), None))
        except Refusal as refusal:
            reply = encode(Reply(None, refusal.error))
        except BadStore as error:
            reply = encode(Reply(None, CommandFailed(str(error)).error))
        except Exception as error:
            log.exception("the operation %s, asked by %s, failed", operation, caller)
            failed = CommandFailed(f"the manager failed at this ({error!r}); its log says more")
            reply = encode(Reply(None, failed.error))
        if len(reply) > MAX_REQUEST:
            failed = CommandFailed(
                f"the answer has {len(reply)} bytes, at most {MAX_REQUEST} travel"
            )
            return encode(Reply(None, failed.error))
        return reply


def _arguments(payload: bytes, cls: type[Any]) -> Any:
    try:
        return decode(payload or b"{}", cls, MAX_REQUEST)
    except Undecodable as error:
        raise InvalidArguments(f"the request cannot be read: {error}") from None
