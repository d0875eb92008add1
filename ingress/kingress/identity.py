"""Gives up root's rights, for good."""

from __future__ import annotations

import os
import pwd


def become(name: str) -> None:
    """Be another user, in that user's own group alone. Raises OSError."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise OSError(f"there is no user {name} to become") from None
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
