"""How a source reaches the ffmpeg that works on it.

Where its clock is not ours, another ffmpeg reads it, and `programs.retime` stands between the two.
What cannot be passed on so is found out by trying, and known from then on.
"""

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from fleet import kept, programs
from fleet.host import Host
from fleet.media.ffmpeg import QUIET, REPORTING
from fleet.media.sources import EVERY_STREAM, FileSource, Source, UrlSource, discreetly

EVERY_PICTURE: Final = ("-fps_mode", "vfr", "-enc_time_base", "-1")
"""Encode each picture at its own time: what ffmpeg takes for the rate is a guess with many."""
_RETIME: Final = (sys.executable, "-IS", str(Path(programs.__file__).with_name("retime.py")))
_NO_RATE: Final = ("-fpsprobesize", "0")
_ENOUGH: Final = ("-probesize", "{enough}")
_TELLING: Final = (*QUIET, "-nostats", "-loglevel", "level+info")
"""How a reader says also what format it reads."""
_FIRST_TABLES: Final = ("-scan_all_pmts", "0")
"""A transport stream is known once its tables are and what they name is: else ffmpeg looks on, for
as long as it may."""
_TABLED: Final = (".ts", ".m2ts", ".mts")
_BY_ARRIVAL: Final = ("-use_wallclock_as_timestamps", "1")
_FILE: Final = "read-by-itself"
_SOUND, _ALL = "sound", "all"
"""What of a source cannot be passed on."""
_MOST_KNOWN: Final = 8192


class Passing:
    """Of one source; `name` is what messages call it."""

    def __init__(self, host: Host, source: Source, name: str) -> None:
        self._host = host
        self._source = source
        self._name = name
        self._file = host.state / _FILE
        known = self._read_known()
        self.decoded = known == _SOUND
        """Whether its sound is decoded before it is passed on, for as it is it cannot be."""
        self.by_itself = known == _ALL
        """Whether ffmpeg reads the source itself, for its packets cannot be passed on to it."""
        self.untimed = False
        """Whether that is so because its pictures have no times."""
        self.tabled = _may_have_tables(source)
        """Whether what is read is a transport stream, as far as is known."""

    @property
    def retimed(self) -> bool:
        """Whether a program stands between two ffmpegs."""
        return not (self._source.own_clock or self.by_itself)

    def argv(
        self, streams: Sequence[str], arguments: Sequence[str], *, whatever_comes: bool
    ) -> list[str]:
        """The command line that takes `streams` of it and does `arguments` with them.

        `whatever_comes`: what comes otherwise than before ends nothing.
        """
        source = self._source
        if not self.retimed:
            maps = () if source.raw else streams
            sent = isinstance(source, UrlSource) and not source.has_login
            times = _BY_ARRIVAL if self.untimed and sent else ()
            inputs = [*times, *source.inputs(self._host)]
            return [*discreetly(source), *QUIET, *REPORTING, *inputs, *maps, *arguments]
        inputs, how = [*source.inputs(self._host), *streams], []
        if isinstance(source, FileSource):
            inputs = [*source.unpaced(self._host), *streams]
            how = ["--paced", *(["--loop"] if source.loop else [])]
        if self.decoded:
            how.append("--sound-decoded")
        if whatever_comes:
            how.append("--whatever-comes")
        tables = _FIRST_TABLES if self.tabled else ()
        # Only an encoder that has one rate asks for it, and to guess it takes twenty pictures.
        unasked = copies(arguments, "-c:v") or set(EVERY_PICTURE) <= set(arguments)
        guess = (*_NO_RATE, *_ENOUGH) if unasked else ()
        given = ("-copyts", "-itsoffset", "{offset}", "-f", "nut", "-i", "pipe:0")
        writer = [*QUIET, *REPORTING, *guess, *given, *EVERY_STREAM]
        return [
            *(*_RETIME, *how, *_TELLING, "-copyts", *_NO_RATE, *tables, *inputs, "--"),
            *(*writer, *arguments),
        ]

    def unpassable(self, *, decodes: bool) -> None:
        """It cannot be passed on as it was: with its sound decoded before, where that may help
        (`decodes`) and was not tried, else not at all.
        """
        self.decoded = decodes and not self.decoded
        self.by_itself = not self.decoded
        with contextlib.suppress(OSError):  # else the next running finds out again
            known = f"{_SOUND if self.decoded else _ALL} {self._name}"
            kept.replace(self._file, known.encode(), sync=False)

    def forget(self) -> None:
        """It sends something else: all may be passed on again."""
        self.by_itself = self.decoded = self.untimed = False
        with contextlib.suppress(OSError):
            kept.remove(self._file)

    def _read_known(self) -> str:
        """What of this source an earlier running found that it cannot be passed on."""
        with contextlib.suppress(OSError, ValueError):
            known = kept.read(self._file, bytes.decode, _MOST_KNOWN) or ""
            what, _, source = known.partition(" ")
            return what if source == self._name else ""
        return ""


def copies(arguments: Sequence[str], codec: str) -> bool:
    """Whether ffmpeg is told to copy pictures (`-c:v`) or sound (`-c:a`)."""
    return codec in arguments and arguments[arguments.index(codec) + 1] == "copy"


def _may_have_tables(source: Source) -> bool:
    """Whether an address probably gives a transport stream; one with a login is in a list."""
    if not isinstance(source, UrlSource) or source.has_login:
        return False
    parts = urlsplit(source.url)
    return parts.scheme in ("udp", "srt") or parts.path.endswith(_TABLED)
