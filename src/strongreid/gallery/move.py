"""From a folder to a server, without loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from strongreid.errors import InputError
from strongreid.gallery.description import now
from strongreid.gallery.engine import prepared
from strongreid.gallery.folder import FolderStore
from strongreid.gallery.server import ServerStore, is_url


def move(folder: str | Path, url: str, *, client: Any = None) -> int:
    """Copy a gallery in a folder to a server and compare every entry there; returns how many there are.

    Ids, features, everything known about each entry and the calibration go along. A move that was interrupted is gone
    on with by the same call. The folder stays as it is: delete it yourself, when you no longer want it.

    Raises:
        InputError: there is no gallery in the folder, the server does not answer or holds another gallery of that
            name, or an entry did not arrive as it left.
    """
    if is_url(str(folder)) or not is_url(url):
        raise InputError(f"move goes from a folder to http://HOST:PORT/NAME, got {folder} and {url}.")
    source = FolderStore(Path(folder))
    try:
        own = source.description
        if own is None:
            raise InputError(f"there is no gallery at {folder}: mend the path.")
        target = ServerStore(url, client)
        if target.description is None:
            target.create(own)
        elif target.description.key != own.key:
            raise InputError(
                f"{target.path} holds another gallery: choose another name, as in http://HOST:6333/NAME."
            )
        for entries in source.log.entries():
            target.append(entries)
        for entries in source.log.entries():
            sent = dict(zip(entries.ids.tolist(), entries.payloads(), strict=True))
            features = dict(zip(entries.ids.tolist(), prepared(entries.features, own.metric).tolist(), strict=True))
            arrived = target.engine.retrieve(list(sent), features=True)
            wrong = [
                point.id
                for point in arrived
                if point.payload != sent[point.id] or point.feature != features[point.id]
            ]
            if wrong or len(arrived) != len(sent):
                lost = wrong[0] if wrong else min(set(sent) - {point.id for point in arrived})
                raise InputError(f"entry {lost} did not arrive at {target.path} as it left; move again.")
        count = target.engine.count()
        if count != source.log.count():
            raise InputError(
                f"{target.path} has {count:,} entries, {folder} has {source.log.count():,}; move to a new name."
            )
        target.record({"when": now(), "what": "move", "entries": count})
        source.record({"when": now(), "what": "move", "entries": count, "to": target.path})
        if client is None:
            target.close()
        return count
    finally:
        source.close()
