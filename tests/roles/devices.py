"""A screen and a microphone as real as they get without any: an X server, an ALSA device."""

import os
import subprocess
import time
from pathlib import Path
from typing import Self

from tests.processes import PATIENCE, free_port
from tests.roles.media import BARS, bars
from tests.roles.network import QUIET, Peer


class Screen:
    """An X server that shows colour bars, on a display of its own; it can be taken away."""

    def __init__(self, size: str) -> None:
        self._size = size
        self.display = f":{free_port()}"  # nobody takes it while it is away

    def __enter__(self) -> Self:
        self.plug()
        return self

    def __exit__(self, *_: object) -> None:
        self.unplug()

    def plug(self) -> None:
        """Show the bars."""
        told, told_to = os.pipe()
        os.set_inheritable(told_to, True)
        options = ("-screen", "0", f"{self._size}x24", "-nolisten", "tcp", "-noreset")
        try:
            self._server = Peer(
                *("Xvfb", self.display, "-displayfd", str(told_to), *options), keep=(told_to,)
            )
        finally:
            os.close(told_to)
        with os.fdopen(told) as said:
            assert said.readline(), self._server.end()
        caps = "video/x-raw,width={},height={}".format(*self._size.split("x"))
        sink = ("ximagesink", f"display={self.display}")
        self._bars = Peer("gst-launch-1.0", "-q", "videotestsrc", "!", caps, "!", *sink)
        try:
            self._until_shown()
        except BaseException:
            self.unplug()
            raise

    def _until_shown(self) -> None:
        width, height = map(int, self._size.split("x"))
        grab = ("-f", "x11grab", "-video_size", self._size, "-i", self.display)
        rgb = ("-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
        seen = b""
        deadline = time.monotonic() + PATIENCE
        while not seen or bars(seen, width, height) != BARS:
            assert time.monotonic() < deadline, "the screen shows no bars"
            seen = subprocess.run([*QUIET, *grab, *rgb], capture_output=True, check=True).stdout

    def unplug(self) -> None:
        """The server ends, as if the grabber were pulled out."""
        self._server.end()
        self._bars.end()


class Microphone:
    """An ALSA device that gives a tone as fast as it is heard; `HOME` has to be `home`."""

    name = "default"

    def __init__(self, home: Path) -> None:
        self._samples = home / "samples"
        os.mkfifo(self._samples)
        (home / ".asoundrc").write_text(
            f'pcm.!{self.name} {{ type file format "raw" slave.pcm "null"'
            f' file "/dev/null" infile "{self._samples}" }}\n'
        )

    def __enter__(self) -> Self:
        tone = ("-re", "-f", "lavfi", "-i", "sine=frequency=1000:sample_rate=48000,volume=4")
        self._tone = Peer(*QUIET, *tone, "-ac", "2", "-f", "s16le", str(self._samples))
        return self

    def __exit__(self, *_: object) -> None:
        self._tone.end()
