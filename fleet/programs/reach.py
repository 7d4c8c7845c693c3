"""What GStreamer may open while it reads: what comes from elsewhere must not lead to the station.

Run within the capture program, so it needs no packages.
"""

from typing import Any
from urllib.parse import urlsplit

LISTS = ("hlsdemux", "hlsdemux2", "dashdemux", "dashdemux2", "mssdemux", "mssdemux2")
"""Elements that read lists of what is to be read in turn."""
_NETWORK = {"http", "https"}
"""What such a list may name."""


def confine(gst: Any, specification: dict[str, Any]) -> None:
    """Leave what its sources need: lists only of the web, and then nothing but the web in them.

    Where one source is a file, there are no lists at all.
    """
    sources = specification["sources"]
    addresses = [source.get("set", {}).get("decoder", {}).get("uri", "") for source in sources]
    schemes = {urlsplit(address).scheme for address in addresses if address}
    registry = gst.Registry.get()
    lists = () if schemes and schemes <= _NETWORK else LISTS
    for name in ("sdpdemux", *lists):
        feature = registry.lookup_feature(name)
        if feature is not None:
            feature.set_rank(gst.Rank.NONE)
    if lists:
        return
    pipelines = [specification["output"], *(source["pipeline"] for source in sources)]
    named = {word for pipeline in pipelines for word in pipeline.split()} | {"appsrc"}
    for factory in registry.get_feature_list(gst.ElementFactory):
        if factory.get_name() not in named and _reads_elsewhere(gst, factory):
            factory.load()  # one that is loaded later would be there anew
            feature = registry.lookup_feature(factory.get_name())
            if feature is not None:
                registry.remove_feature(feature)


def _reads_elsewhere(gst: Any, factory: Any) -> bool:
    """Whether it reads addresses, and none of the web's."""
    opened = set(factory.get_uri_protocols() or ())
    return factory.get_uri_type() == gst.URIType.SRC and bool(opened) and not opened & _NETWORK
