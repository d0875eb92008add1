"""The embedded API server: `ApiServer(store, Settings(...))`."""

from kapi.server.app import ApiServer
from kapi.server.settings import Settings

__all__ = ["ApiServer", "Settings"]
