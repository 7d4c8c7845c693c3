"""What rsync and ssh say when a copy fails is said as what to do."""

import pytest

from fleet.media.rsync import diagnosed

SSH = "rsync: connection unexpectedly closed (0 bytes received so far) [sender]\n"
CHANGED = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
The fingerprint for the ED25519 key sent by the remote host is\r
SHA256:YYB9Ns6kQ2PbJ3bUH6RrgPcYF1TjCZgf3ZbKxQ0iL6k.\r
Please contact your system administrator.
Host key for fleet-target has changed and you have requested strict checking.
Host key verification failed.
"""
SHELL = "protocol version mismatch -- is your shell clean?\n(see the rsync manpage)\n"


@pytest.mark.parametrize(
    ("words", "reason", "advice"),
    [
        (CHANGED + SSH, "HostKeyChanged",
         "(The fingerprint for the ED25519 key sent by the remote host is SHA256:YYB9"),
        ("Host key verification failed.\n" + SSH, "HostKeyChanged", "set host_key"),
        (SHELL, "TargetUnsuitable", "give the user a shell"),
        ("This account is currently not available.\n" + SSH, "TargetUnsuitable", "a shell"),
        ('rsync: [Receiver] ERROR: cannot stat destination "/srv/hall1/": Not a directory (20)\n',
         "TargetNotWritable", "move the file away"),
        ('rsync: [Receiver] mkdir "/srv/hall1" failed: No such file or directory (2)\n',
         "TargetMissing", "make it or mount its disk"),
        ('rsync: [Receiver] mkdir "/srv/hall1" failed: Permission denied (13)\n',
         "TargetNotWritable", "give it to that user"),
        ("sh: 1: rsync: not found\n" + SSH, "TargetUnsuitable", "install it there"),
        (SSH, "LinkCut", "what was sent is kept"),
    ],
    ids=lambda value: value if value.isalpha() else "",
)  # fmt: skip
def test_each_failure_has_words_and_advice(words: str, reason: str, advice: str) -> None:
    failed = diagnosed(words, 2, "fleet@storage:/srv")
    assert failed.reason == reason
    assert advice in failed.message
    assert "\n" not in failed.message
