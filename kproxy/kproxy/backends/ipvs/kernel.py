"""IPVS of one host's kernel, over generic netlink."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import replace

from pyroute2.netlink import CTRL_CMD_GETFAMILY, GENL_ID_CTRL, NLM_F_CREATE, ctrlmsg
from pyroute2.netlink.generic.ipvs import GENL_NAME, IPVS_CMD_GET_DEST, IPVS_CMD_GET_SERVICE, ipvsmsg

from kproxy.backends.ipvs import wire
from kproxy.backends.ipvs.compile import Server
from kproxy.backends.ipvs.wire import Kept, Real, Request
from kproxy.errors import Refused, Unavailable
from kproxy.exchange import Exchange
from kproxy.host import Host

_GENERIC = 16  # NETLINK_GENERIC
_GONE = (errno.ENOENT, errno.ESRCH)  # there is no such virtual or real server


class Ipvs:
    """Virtual servers and real servers as the kernel has them."""

    def __init__(self, host: Host) -> None:
        self._exchange = Exchange(host, _GENERIC)
        self._number = 0  # what generic netlink calls IPVS here

    def carry_out(self, requests: Sequence[Request]) -> None:
        """Carry out all requests that the kernel takes. Raises Refused with the Services of the others.

        What is to be made and is there is changed instead; what is to go and is gone is no error.
        """
        causes: dict[str, str] = {}
        again: list[Request] = []
        family = self._family()
        todo = ((family, NLM_F_CREATE, wire.message(one.command, one.attributes)) for one in requests)
        for place, error in self._exchange.change(todo):
            request = requests[place]
            if error == errno.EEXIST and request.command in wire.INSTEAD:
                again.append(replace(request, command=wire.INSTEAD[request.command]))
            elif error not in _GONE or request.command not in wire.ENDING:
                causes[request.owner] = f"IPVS did not take {request.about}: {os.strerror(error)}"
        if again:
            try:
                self.carry_out(again)
            except Refused as refusal:
                causes |= refusal.causes
        if causes:
            raise Refused(causes)

    def services(self) -> dict[Server, Kept]:
        """List the virtual servers."""
        answers = self._exchange.list(self._family(), wire.message(IPVS_CMD_GET_SERVICE, ()))
        return dict(map(wire.read_service, answers))

    def destinations(self, server: Server) -> list[Real]:
        """List the real servers of one virtual server: none where that is gone."""
        answers = self._exchange.list(self._family(), wire.message(IPVS_CMD_GET_DEST, wire.of(server)))
        try:
            return [wire.read_destination(answer) for answer in answers]
        except OSError as error:
            if error.errno not in _GONE:
                raise
            return []

    def close(self) -> None:
        """Give back the socket."""
        self._exchange.close()

    def _family(self) -> int:
        """Give the number that generic netlink has for IPVS; asking loads the module. Raises Unavailable."""
        if not self._number:
            question = ctrlmsg()
            name = ("CTRL_ATTR_FAMILY_NAME", GENL_NAME)
            question.update(cmd=CTRL_CMD_GETFAMILY, version=1, attrs=[name])
            self._exchange.understand({GENL_ID_CTRL: ctrlmsg})
            try:
                answer = self._exchange.ask(GENL_ID_CTRL, question)
            except OSError as error:
                raise Unavailable("this kernel has no IPVS (module ip_vs)") from error
            self._number = int(answer.get("CTRL_ATTR_FAMILY_ID"))
            self._exchange.understand({self._number: ipvsmsg})
        return self._number
