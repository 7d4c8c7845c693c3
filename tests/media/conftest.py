"""What is media's is tested with the hosts, disks and settings that roles are tested with."""

from tests.roles.conftest import make_host, record_settings, small_disk, until

__all__ = ["make_host", "record_settings", "small_disk", "until"]
