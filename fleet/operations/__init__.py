"""What operators ask the manager, and what it answers: arguments and results by operation.

Private to one release: `fleet` and `fleet-manager` of the same version speak it, over
`manager/request/<caller>/<operation>` and `manager/reply/<caller>`. A refusal is an `Error`;
mistakes in a conference file are its problems, `path` being the dotted path in the file.
"""

from fleet.operations.check import CheckArguments, CheckLook, CheckResult, CheckTrouble
from fleet.operations.doctor import DoctorFinding, DoctorResult, StationFacts
from fleet.operations.health import HealthFinding, HealthLevel, Standing
from fleet.operations.history import (
    DiffArguments,
    DiffResult,
    Event,
    ExportResult,
    HistoryArguments,
    HistoryResult,
    ShowArguments,
    ShowResult,
)
from fleet.operations.plans import (
    RECORDING,
    Action,
    Change,
    Cut,
    Doubt,
    PlanArguments,
    PlanResult,
    StationChange,
    ValidateArguments,
    ValidateResult,
)
from fleet.operations.rollouts import (
    PATIENCE,
    STEADY,
    ApplyArguments,
    ApplyResult,
    RollbackArguments,
    RolloutArguments,
    RolloutResult,
    RolloutStatus,
    TargetStatus,
)
from fleet.operations.schedule import RoomTalk, ScheduleArguments, ScheduleResult
from fleet.operations.stations import (
    AdoptArguments,
    InstanceReport,
    MaintenanceArguments,
    RetireArguments,
    RoomStatus,
    SaidResult,
    StationResult,
    StationStatus,
    StatusResult,
    TalkArguments,
)

__all__ = [
    "PATIENCE",
    "RECORDING",
    "STEADY",
    "Action",
    "AdoptArguments",
    "ApplyArguments",
    "ApplyResult",
    "Change",
    "CheckArguments",
    "CheckLook",
    "CheckResult",
    "CheckTrouble",
    "Cut",
    "DiffArguments",
    "DiffResult",
    "DoctorFinding",
    "DoctorResult",
    "Doubt",
    "Event",
    "ExportResult",
    "HealthFinding",
    "HealthLevel",
    "HistoryArguments",
    "HistoryResult",
    "InstanceReport",
    "MaintenanceArguments",
    "PlanArguments",
    "PlanResult",
    "RetireArguments",
    "RollbackArguments",
    "RolloutArguments",
    "RolloutResult",
    "RolloutStatus",
    "RoomStatus",
    "RoomTalk",
    "SaidResult",
    "ScheduleArguments",
    "ScheduleResult",
    "ShowArguments",
    "ShowResult",
    "Standing",
    "StationChange",
    "StationFacts",
    "StationResult",
    "StationStatus",
    "StatusResult",
    "TalkArguments",
    "TargetStatus",
    "ValidateArguments",
    "ValidateResult",
]
