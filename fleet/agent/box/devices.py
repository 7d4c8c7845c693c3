"""The capture devices of this box: what they are, what they can, and which come and go.

Linux tells by udev that something was plugged in or pulled. Where there is none (a container),
what is new is seen at the next look around, and the log says so.
"""

import asyncio
import contextlib
import logging
import re
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from fleet.model import Device, DeviceFormat, plain
from fleet.programs.plugged import Plugged, plugged

log = logging.getLogger(__name__)

_ROOT: Final = Path("/")
_SUBSYSTEMS: Final = ("video4linux", "sound", "blackmagic")
_SETTLE: Final = 0.3
"""Seconds in which what one plug brings comes together: picture and sound, and its names."""
_ASK: Final = 2.0
"""Seconds a driver may take to say what it can."""
_TRIES: Final = 3
"""That a driver has which does not say it in time: the box may have been short of CPU."""
_END: Final = 0.5
"""Seconds in which what was killed is gone."""
_MOST_FORMATS: Final = 24
_MOST_RATES: Final = 8
_MOST_CHARACTERS: Final = 200
_FORMAT = re.compile(r"\s*\[\d+\]: '(.{1,8}?)'")
_SIZE = re.compile(r"\s*Size: (?:Discrete (\d+x\d+)|(?:Stepwise|Continuous) \d+x\d+ - (\d+x\d+))")
_RATE = re.compile(r"\s*Interval: .*\((?:[\d.]+-)?([\d.]+) fps\)")
_BLACKMAGIC = re.compile(r"^\d+: /dev/blackmagic/io(\d+) \[(.+?)\]", re.MULTILINE)

Known = tuple[Plugged, int]
"""A device, and when its file was made: plugged in again it may be another mode or firmware."""


class CaptureDevices:
    """Knows what is plugged in, as of the last `look`."""

    def __init__(self, root: Path = _ROOT) -> None:
        self._root = root
        self._looking = threading.Lock()
        self._asked: dict[Known, tuple[DeviceFormat, ...]] = {}
        self._silent: Counter[Known] = Counter()
        """How often a driver did not answer."""
        self.found: tuple[Device, ...] = ()

    def look(self) -> None:
        """Look what is there now; blocks while drivers that are new are asked what they can."""
        with self._looking:
            self._look()

    def _look(self) -> None:
        there = plugged(self._root)
        names = _blackmagic() if any(one.kind == "decklink" for one in there) else {}
        asked: dict[Known, tuple[DeviceFormat, ...]] = {}
        silent: Counter[Known] = Counter()
        found = []
        for one in there:
            formats: tuple[DeviceFormat, ...] = ()
            if one.kind == "v4l2":
                known = one, _made(Path(one.device))
                said = self._asked.get(known)
                if said is None and self._silent[known] < _TRIES:
                    said = _formats(one.device)
                if said is None:
                    silent[known] = self._silent[known] + 1
                else:
                    asked[known] = formats = said
            name = _short(names.get(one.id, one.name) if one.kind == "decklink" else one.name)
            found.append(Device(one.kind, _short(one.id), name, formats))
        self._asked, self._silent, self.found = asked, silent, tuple(found)

    async def watch(self, changed: Callable[[], Awaitable[None]]) -> None:
        """Look for ever whenever udev says that something came or went; then call `changed`."""
        news = asyncio.Event()
        with _udev(news, self._root) as there:
            if not there:
                await asyncio.Event().wait()
            while True:
                await news.wait()
                await asyncio.sleep(_SETTLE)
                news.clear()
                before = self.found
                await asyncio.to_thread(self.look)
                if self.found != before:
                    await changed()


def device_files(device: Device, root: Path = _ROOT) -> list[Path]:
    """The files one opens to capture from it."""
    if device.kind == "v4l2":
        by_id = Path("dev/v4l/by-id") / device.id
        return [(root / (device.id.lstrip("/") if device.id.startswith("/") else by_id)).resolve()]
    if device.kind == "decklink":
        return sorted((root / "dev/blackmagic").glob(f"io{device.id}"))
    card = (root / "proc/asound" / device.id).resolve().name.removeprefix("card")
    return sorted((root / "dev/snd").glob(f"pcmC{card}D*c"))


@contextlib.contextmanager
def _udev(news: asyncio.Event, root: Path) -> Iterator[bool]:
    """Sets `news` whenever udev says something of our kinds of device; whether there is a udev."""
    monitor = _monitor(root)
    if monitor is None:
        yield False
        return
    loop = asyncio.get_running_loop()

    def hear() -> None:
        try:
            while monitor.poll(timeout=0) is not None:
                news.set()
        except OSError:  # it said more than fits: something did change
            news.set()

    loop.add_reader(monitor.fileno(), hear)
    try:
        yield True
    finally:
        loop.remove_reader(monitor.fileno())


def _monitor(root: Path) -> Any:
    try:
        import pyudev  # needs a library of the system

        if not (root / "run/udev/control").exists():
            raise OSError("no udev runs here")
        monitor = pyudev.Monitor.from_netlink(pyudev.Context())
        for subsystem in _SUBSYSTEMS:
            monitor.filter_by(subsystem)
        monitor.start()
    except (ImportError, OSError) as error:
        log.warning("%s: a device that is plugged in is noticed within a minute", error)
        return None
    return monitor


def _formats(device: str) -> tuple[DeviceFormat, ...] | None:
    """What a video device can give, as its driver says; nothing where it cannot be asked.

    None: it did not answer in time.
    """
    words = _said("v4l2-ctl", "--device", device, "--list-formats-ext")
    return None if words is None else tuple(read_formats(words))[:_MOST_FORMATS]


def read_formats(words: str) -> Iterator[DeviceFormat]:
    """Out of what `v4l2-ctl --list-formats-ext` prints; of a range of sizes the largest."""
    pixels, size = "", ""
    rates: list[float] = []
    for line in [*words.splitlines(), "[0]: ''"]:
        new_format, new_size, rate = (one.match(line) for one in (_FORMAT, _SIZE, _RATE))
        if rate and len(rates) < _MOST_RATES:
            rates.append(float(rate[1]))
        if (new_format or new_size or line == "[0]: ''") and size:
            yield DeviceFormat(pixels, size, tuple(rates))
        if new_format or new_size:
            size, rates = (new_size[1] or new_size[2]) if new_size else "", []
        if new_format:
            pixels = new_format[1].strip()


def _blackmagic() -> Mapping[str, str]:
    """What the maker's own program calls its inputs, by number."""
    words = _said("BlackmagicFirmwareUpdater", "status")
    return dict(_BLACKMAGIC.findall(words or ""))


def _said(*argv: str) -> str | None:
    """What a program says, nothing where there is none; None: it did not end in time."""
    if shutil.which(argv[0]) is None:
        return ""
    try:
        program = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError as error:
        log.warning("%s cannot be started: %s", argv[0], plain(error))
        return ""
    try:
        words, _ = program.communicate(timeout=_ASK)
        return words.decode(errors="replace")
    except subprocess.TimeoutExpired:
        program.kill()
        with contextlib.suppress(
            subprocess.TimeoutExpired
        ):  # in a driver, it cannot even be killed
            program.communicate(timeout=_END)
        log.warning("%s: no answer within %g s", " ".join(argv), _ASK)
    finally:
        if program.stdout is not None:
            program.stdout.close()
    return None


def _made(device: Path) -> int:
    try:
        return device.stat().st_ctime_ns
    except OSError:
        return 0


def _short(text: str) -> str:
    return text[:_MOST_CHARACTERS]
