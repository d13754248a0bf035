"""Files on disk: each is written whole or not at all, and a folder has one writer at a time."""

from dinoclip_viz.disk.lock import LOCK, Holder, holder_of, locked
from dinoclip_viz.disk.whole import replacing, replacing_in, write_json, write_text

__all__ = ["LOCK", "Holder", "holder_of", "locked", "replacing", "replacing_in", "write_json", "write_text"]
