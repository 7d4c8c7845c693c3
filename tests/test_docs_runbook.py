"""The runbook explains each reason that a station gives, and none that no station gives."""

import ast
import re

from tests.processes import ROOT

PAGE = (ROOT / "docs/runbook.md").read_text()
PLACES = ("media", "roles", "agent/engine", "agent/processes")
FILES = ("agent/secret_files.py",)
OF_CONFIGS = {"BlockedRole", "MissingRoleFactory", "InvalidConfiguration"}


def given() -> set[str]:
    """Every word in the code that is a reason: no class has its name, and a text is it alone."""
    texts = {path: path.read_text() for path in (ROOT / "fleet").rglob("*.py")}
    classes = set(re.findall(r"^ *class (\w+)", "\n".join(texts.values()), re.MULTILINE))
    places = tuple(ROOT / "fleet" / place for place in PLACES)
    files = {ROOT / "fleet" / file for file in FILES}
    words = {
        node.value
        for path, text in texts.items()
        if path.name != "__init__.py"  # which answers words of other designs
        and (path in files or any(place in path.parents for place in places))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"(?:[A-Z][a-z]+)+", node.value)
        and len(node.value) > len("Meta")
    }
    return words - classes - {"ImportError"}


def test_each_reason_is_explained() -> None:
    told = PAGE.partition("\n## Reasons\n")[2]
    rows = re.findall(r"^\| (`.*?) \| (.+?) \| (.+?) \|$", told, re.MULTILINE)
    named = [name for cell, _, _ in rows for name in re.findall(r"`(\w+)`", cell)]
    assert len(named) > 40
    assert sorted(named) == sorted(given() | OF_CONFIGS)


HERE = "roles/test_reasons_heal.py::test_each_heals_once_its_sentence_was_followed"
HEALED = {
    "SecretMissing": HERE,
    "SecretRefused": "cli/test_secret.py::test_a_secret_reaches_its_box_and_is_seen_nowhere_else",
    "ProgramMissing": HERE,
    "ProgramUnusable": HERE,
    "DirectoryMissing": HERE,
    "FileMissing": HERE,
    "SourceRefused": "roles/test_login.py::"
    "test_a_camera_that_refuses_is_recorded_with_its_password",
    "EncoderFallback": "media/test_encoders.py::test_a_recording_says_what_encodes_instead",
    "SourceUnreachable": HERE,
    "PictureTurned": "roles/test_copy_or_encode.py::"
    "test_a_copy_that_lies_on_its_side_is_said_and_auto_sets_it_upright",
    "SourceNotYet": "roles/test_record.py::"
    "test_a_recording_that_begins_before_its_source_waits_and_has_not_failed",
    "SourceUnreadable": HERE,
    "PortInUse": HERE,
    **dict.fromkeys(
        ("TargetFull", "TargetNotWritable", "TargetUnsuitable"),
        "roles/test_sync.py::"
        "test_what_stands_in_the_way_at_a_target_is_said_and_the_copy_goes_on_without_it",
    ),
    **dict.fromkeys(
        ("LinkCut", "TargetHangs"),
        "roles/test_sync.py::"
        "test_a_link_that_is_cut_in_the_middle_of_a_file_is_said_and_the_copy_goes_on_there",
    ),
    "DeviceBusy": HERE,
    "CodecMissing": HERE,
    "ToolMissing": "roles/test_ingest.py::"
    "test_a_part_of_gstreamer_that_is_missing_is_named_with_the_package_that_has_it",
    "LocalCopyStopped": "roles/test_ingest.py::"
    "test_the_local_copy_makes_way_when_the_disk_runs_short",
    "Choppy": "programs/test_timing.py::"
    "test_a_share_is_that_of_the_last_half_minute_and_needs_enough_to_say_something",
    "DiskHangs": "media/test_disk.py::test_a_disk_that_hangs_holds_up_no_loop_and_is_said",
    "NoSignal": "roles/test_monitor.py::test_a_source_may_come_and_go_and_come_again",
    "DeviceMissing": "roles/test_devices.py::test_an_ingest_captures_a_screen_and_a_sound_device",
    "SourceEnded": "roles/test_record.py::test_the_end_of_an_hls_source_is_recorded_once",
    "DiskFull": "media/test_segments.py::test_a_full_disk_is_the_reason_and_is_recovered_from",
    "DiskLow": "media/test_segments.py::"
    "test_a_recording_stops_while_some_of_the_disk_is_free_and_goes_on_with_more",
    "DiskMissing": "agent/test_recordings_disk.py::"
    "test_a_recording_whose_disk_vanishes_says_so_and_is_back_with_it",
    "TargetUnreachable": "roles/test_stream.py::"
    "test_a_target_that_goes_away_is_named_and_reached_again",
    "RoleFileChanged": "agent/test_cli.py::"
    "test_a_changed_role_file_is_used_once_it_is_read_again_and_restarted",
    **dict.fromkeys(
        ("MissingRoleFactory", "BlockedRole", "InvalidConfiguration"),
        "agent/test_session.py::"
        "test_what_could_not_be_run_at_boot_runs_as_soon_as_its_tools_are_there",
    ),
    **dict.fromkeys(
        [
            "PictureBlack",
            "PictureFrozen",
            "DigitalSilence",
            "ChannelSilent",
            "SoundLow",
            "SoundHigh",
        ],
        "media/test_meter.py::test_what_is_well_again_is_forgotten",
    ),
    **dict.fromkeys(
        ("NoPicture", "NoSound"),
        "media/test_meter.py::test_what_comes_again_is_missed_no_more",
    ),
    "Stopped": "cli/test_stop.py::"
    "test_a_recording_is_stopped_and_started_by_hand_and_everybody_is_told",
    "StatePutBack": "wire/test_station_life.py::"
    "test_a_state_directory_put_back_from_a_copy_ends_no_recording_and_doubles_none",
    "NotWritable": "media/test_segments.py::test_a_read_only_disk_is_the_reason",
    "NotPermitted": "roles/test_lists.py::test_a_file_is_read_only_where_the_station_gives_it_away",
    "CodecUnsuitable": "roles/test_copy_or_encode.py::"
    "test_a_copy_that_was_asked_for_and_cannot_be_is_told",
    "SecretUnsuitable": "roles/test_sync.py::"
    "test_a_secret_that_is_no_key_fails_the_instance_with_what_to_do",
    **dict.fromkeys(
        ("KeyRefused", "HostKeyChanged"),
        "roles/test_sync.py::"
        "test_refused_keys_changed_host_keys_and_hosts_that_are_away_have_words_of_their_own",
    ),
    "TargetDiffers": "roles/test_sync.py::"
    "test_a_byte_flipped_at_the_target_is_named_and_nothing_there_is_replaced",
    "TargetMissing": "roles/test_sync.py::"
    "test_a_storage_that_is_not_there_is_said_and_nothing_is_made_in_its_place",
    "CopyFailed": "roles/test_sync.py::test_one_file_that_cannot_be_copied_holds_up_no_other",
    "TargetRefused": "roles/test_stream.py::"
    "test_an_srt_listener_gets_the_stream_with_the_passphrase_alone",
    **dict.fromkeys(
        ("StreamBlank", "SourceMissing"),
        "roles/test_mix.py::"
        "test_what_is_cut_to_is_seen_and_heard_at_once_and_is_back_after_the_mixer_was_killed",
    ),
}
"""Reasons, and the test in which what is advised is done and it heals."""
BY_ITSELF = {"ChildExited", "Stalled", "CrashLoop", "RoleCrashed", "FileRemoved", "HeldLoop"} | {
    *("LocalCopyFailed", "MixerEnded"),
}
"""It is begun anew without anybody; the advice is where to read on."""
NOTHING_TO_DO = {"SourceChanged", "ClockJumped", "OtherDisk", "MixerRestarted"} | {
    *("MetricsUnreadable", "AgentChanged"),  # by whoever runs the box
}


def test_of_each_reason_it_is_known_whether_a_test_follows_its_advice() -> None:
    groups = [set(HEALED), BY_ITSELF, NOTHING_TO_DO]
    assert sorted(set().union(*groups)) == sorted(given() | OF_CONFIGS)
    assert sum(map(len, groups)) == len(set().union(*groups)), "each is in one group"
    for reason, where in HEALED.items():
        path, _, name = where.partition("::")
        text = (ROOT / "tests" / path).read_text()
        assert f"def {name}(" in text, reason


REASONS = "test_docs_runbook.py::test_of_each_reason_it_is_known_whether_a_test_follows_its_advice"
FIXED = {
    **dict.fromkeys(("CaptureFailed", "RoleFailed", "NotInSync", "StreamDown"), REASONS),
    "RecordingNotGrowing": "cli/test_stop.py::"
    "test_a_recording_is_stopped_and_started_by_hand_and_everybody_is_told",
    "StationOffline": "manager/test_health.py::test_what_is_in_maintenance_is_nobodys_business",
    **dict.fromkeys(
        ("CaptureCrashLooping", "RoleCrashLooping"),
        "cli/test_rollouts.py::test_everything_is_put_back_as_it_was_before_or_after_a_rollout",
    ),
    **dict.fromkeys(
        ("SoundDigitalZero", "LoudnessLow", "LoudnessHigh", "PictureBlack", "PictureFrozen"),
        "media/test_meter.py::test_what_is_well_again_is_forgotten",
    ),
    **dict.fromkeys(
        ("DiskFullSoon", "DiskNearlyFull"),
        "media/test_segments.py::test_a_full_disk_is_the_reason_and_is_recovered_from",
    ),
    "NothingCopied": "roles/test_sync.py::"
    "test_a_copy_is_asked_over_the_wire_and_outlives_the_death_of_its_agent",
    "CoreLost": "board/test_alertmanager.py::"
    "test_a_lost_core_is_one_message_until_it_is_back_and_then_each_room_speaks_for_itself",
    "ManagerSilent": "cli/test_advice.py::test_one_manager_is_started_and_the_second_ended",
    "BrokerUnreachable": "manager/test_outages.py::"
    "test_locked_at_its_start_it_answers_and_begins_when_it_can",
    **dict.fromkeys(
        ("CameraSignalAbsent", "SlidesSignalAbsent", "MeterStale"),
        "roles/test_monitor.py::test_a_source_may_come_and_go_and_come_again",
    ),
    "SoundMissing": "roles/test_devices.py::test_an_ingest_captures_a_screen_and_a_sound_device",
    "ChannelSilent": "media/test_meter.py::test_what_is_dead_is_named_while_another_is_heard",
    "CopiesBehind": "roles/test_sync.py::"
    "test_a_byte_flipped_at_the_target_is_named_and_nothing_there_is_replaced",
    "StationNeverHeard": "manager/test_come_and_go.py::test_a_box_that_is_gone_is_emptied_at_once",
    "ConfigRejected": "cli/test_secret.py::"
    "test_a_config_that_sends_a_bound_secret_elsewhere_is_refused_until_it_is_bound_anew",
    "StationConflict": "cli/test_advice.py::"
    "test_a_copied_box_forgets_who_it_was_by_what_doctor_says",
    "ScheduleStale": "schedule/test_watch.py::"
    "test_whatever_is_published_next_the_last_good_one_holds",
    "CredentialEnds": "access/test_joining.py::test_a_box_joins_records_is_rotated_and_revoked",
    "CertificateEnds": "access/test_joining.py::test_a_box_joins_records_is_rotated_and_revoked",
    "MessagesUnreadable": "cli/test_advice.py::"
    "test_strangers_without_number_stay_out_of_a_broker_that_has_users",
    "Watchdog": "board/test_alertmanager.py::"
    "test_the_sign_of_life_comes_again_and_again_and_stops_with_prometheus",
}
"""Sections of the runbook, and the test in which what they advise is done."""
BY_HAND = {
    *("StationLost", "StationMissing", "MainsLost", "PeakHigh", "StationHot", "StationThrottled"),
    *("Undervoltage", "DiskFails", "StationOverloaded", "LinkSlow", "Retransmits", "ClockOff"),
    "TalkNotRecorded",
}
"""Somebody walks to the box, or nothing can be done."""


def test_of_each_section_it_is_known_whether_a_test_does_what_it_advises() -> None:
    sections = re.findall(r"^### (\w+)$", PAGE, re.MULTILINE)
    assert sorted([*FIXED, *BY_HAND]) == sorted(sections)
    for section, where in FIXED.items():
        path, _, name = where.partition("::")
        text = (ROOT / "tests" / path).read_text()
        assert f"def {name}(" in text, section
