"""A udev with devices that are plugged in and pulled by words on stdin; run by umockdev-wrapper.

No device is real: files and events are, as a kernel and udev would make them. Says where its files
are, then `done` after each `plug N NAME` and `pull N`.
"""

import sys
from pathlib import Path

import gi

gi.require_version("UMockdev", "1.0")
from gi.repository import UMockdev  # noqa: E402

testbed = UMockdev.Testbed.new()
root = Path(testbed.get_root_dir())
links = root / "dev/v4l/by-id"
print(root, flush=True)
for line in sys.stdin:
    word, number, *name = line.split()
    path = f"/devices/pci0000:00/usb1/1-{number}/video4linux/video{number}"
    if word == "plug":
        testbed.add_from_string(
            f"P: {path}\nN: video{number}\n"
            f"E: DEVNAME=/dev/video{number}\nE: MAJOR=81\nE: MINOR={number}\n"
            f"E: ID_V4L_CAPABILITIES=:capture:\nE: SUBSYSTEM=video4linux\n"
            f"A: name={name[0]}\\n\nA: index=0\\n\nA: dev=81:{number}\\n\n"
        )
        links.mkdir(parents=True, exist_ok=True)
        (links / f"usb-{name[0]}-video-index0").symlink_to(f"../../video{number}")
        testbed.uevent(f"/sys{path}", "add")
    else:
        testbed.uevent(f"/sys{path}", "remove")
        testbed.remove_device(f"/sys{path}")
        for link in links.iterdir():
            if not link.exists():
                link.unlink()
    print("done", flush=True)
