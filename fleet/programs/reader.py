"""What the ffmpeg that reads for `retime` is told, and what its words mean."""

import re
from collections.abc import Sequence

from fleet.programs.nut import MARK, MARK_SECONDS, SHIFT, SHIFT_SECONDS

FORMAT = re.compile(rb"\[info\] Input #0, ([\w,]+), from")
TABLES = b"scan_all_pmts"
"""What only a transport stream can be told; of others it is said that there is no such option."""
NEVER_CAME = b"sample rate not set"
"""What ffmpeg says of sound that a transport stream announces, and of which nothing came."""
_SOUNDS = "0:a"
"""How sound is named to ffmpeg."""
_LOOK, _SHORT_LOOK = "-analyzeduration", "1000000"
TIMELESS = (b"mpjpeg", b"mjpeg", b"jpeg_pipe")
"""Pictures as web cameras send them; ffmpeg takes them for 25 a second."""
USUAL = re.compile(
    rb"^\[info\]|Cannot determine format of input stream|Error marking filters as finished"
    rb"|Starting new cluster due to timestamp|on-monotonous DTS"
    rb"|non monotonically increasing dts|Timestamps are unset in a packet|DTS .* out of order"
)
NOT_CARRIED = re.compile(
    rb"No .* codec tag found|codec not currently supported|Could not write header"
    rb"|Error parsing AAC extradata"
    rb"|Only audio, video, and subtitles are supported"
)
LIST_WENT_BACK = re.compile(rb"Media sequence changed unexpectedly: (\d+) -> (\d+)")
"""Where a list is numbered anew ffmpeg would wait until it comes to the last number again."""
STALE = 2
"""By so many a copy of a list that was kept somewhere may be behind."""
NEW_TRACK = re.compile(rb"New (?:audio|video) stream \d")


def outputs(announced: int, begun: int, *, decoded: bool) -> tuple[list[str], list[str]]:
    """What it is to write: before each packet when it came and is decoded, and then it.

    A muxer wants one time of each packet that only grows: that is when it came, since `begun`, or
    its number. The other one is the source's own, whatever it is: that of decoding, and that of
    showing. Nothing is put in another order by the one that grows: it may be in other units.
    """
    came = f"max((time(0)-{begun})/TB,if(N,PREV_OUTDTS+1,0))"
    due = f"if(eq(DTS,NOPTS),PTS,DTS)+{SHIFT}"
    # What waits for a decoder is turned into the units of NUT only afterwards.
    shift, mark = (f"{SHIFT_SECONDS}/TB", f"{MARK_SECONDS}/TB") if decoded else (SHIFT, MARK)
    shown = f"if(eq(PTS,NOPTS),DTS+{mark},PTS)+{shift}"
    hashes = ("-f", "framehash", "-hash", "crc32")
    nut = ("-strict", "experimental", "-syncpoints", "none", "-write_index", "0", "-f", "nut")
    at_once = ("-max_interleave_delta", "1", "-flush_packets", "1")
    codecs = ("-c:v", "copy", "-c:a", "pcm_s16le" if decoded else "copy")
    return (
        [
            *(*codecs, "-bsf", f"setts=pts='{due}':dts='{came}'"),
            *(*hashes, *at_once, f"pipe:{announced}"),
        ],
        [
            *(*codecs, "-bsf", f"setts=pts='{shown}':dts=N"),
            *(*nut, *at_once, "pipe:1"),
        ],
    )


def without_tables(argv: Sequence[str]) -> list[str]:
    """The command line without what only a transport stream can be told."""
    at = argv.index(f"-{TABLES.decode()}")
    return [*argv[:at], *argv[at + 2 :]]


def listening(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The command line that passes on what is there, and one more output but for its place, to
    which sound that is announced comes once it does. It looked for long enough.
    """
    at = argv.index("-map") if "-map" in argv else len(argv)
    inputs, maps = list(argv[:at]), argv[at + 1 :: 2]
    sounds = [one for one in maps if one.startswith(_SOUNDS)]
    if _LOOK in inputs:
        inputs[inputs.index(_LOOK) + 1] = _SHORT_LOOK
    passed = [one for one in maps if one not in sounds]
    passed += [f"{_SOUNDS}:u?" for one in sounds if one == f"{_SOUNDS}?"]
    reader = [*inputs, *(part for one in passed for part in ("-map", one))]
    listened = [part for one in (*sounds, f"-{_SOUNDS}:u") for part in ("-map", one)]
    return reader, [*listened, "-c:a", "pcm_s16le", "-flush_packets", "1", "-f", "s16le"]
