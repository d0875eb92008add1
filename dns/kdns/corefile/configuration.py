"""A Corefile as a `Configuration`. Pure: files that it imports are read by what the caller hands in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace

from kapi.network import Address
from kdns.corefile import words
from kdns.corefile.directives import Draft, apply
from kdns.corefile.parse import Directive, Read, ServerBlock, server_blocks
from kdns.corefile.words import wrong
from kdns.errors import SettingInvalid
from kdns.settings import EVERYWHERE, Access, Block, Configuration, Listen, Settings

_PORTS = {"dns": 53, "tls": 853, "https": 443}


def configuration(text: str, file: str, read: Read, environment: Mapping[str, str]) -> Configuration:
    """Read a Corefile. Raises `SettingInvalid` that names the file and line."""
    seen = {file: text}

    def remembering(pattern: str, importing: str) -> Mapping[str, str]:
        found = read(pattern, importing)
        seen.update(found)
        return found

    drafts: list[Draft] = []
    blocks = []
    for block in server_blocks(text, file, remembering, environment):
        draft, made = _block(block)
        drafts.append(draft)
        blocks.append(made)
    _distinct(blocks, file)
    return Configuration(
        blocks=tuple(blocks),
        access=_access(drafts, file),
        health=tuple(dict.fromkeys(place for draft in drafts for place in draft.health)),
        metrics=tuple(dict.fromkeys(place for draft in drafts for place in draft.metrics)),
        lameduck=max(draft.lameduck for draft in drafts),
        reload=max(draft.reload for draft in drafts),
        files=tuple(seen),
        version=hashlib.sha512("".join(seen.values()).encode()).hexdigest(),
        workers=max(draft.workers for draft in drafts),
    )


def _block(block: ServerBlock) -> tuple[Draft, Block]:
    about = Directive("server block", block.keys, (), block.place)
    keys = [_key(key, about) for key in block.keys]
    zones = tuple(zone for _, found, _ in keys for zone in found)
    draft = Draft(Settings(cluster=False, cache=None), zones)
    for directive in block.directives:
        apply(directive, draft)
    listen = [
        Listen(address, port, scheme, *draft.certificate)
        for scheme, _, port in dict.fromkeys(keys)
        for address in draft.bind or EVERYWHERE
    ]
    if any(place.scheme != "dns" and not place.certificate for place in listen):
        raise wrong(about, "tls:// and https:// need a certificate: add `tls CERTIFICATE KEY`")
    if draft.settings.autopath is not None and draft.settings.pods != "verified":
        raise wrong(about, "autopath needs `pods verified` in kubernetes: it must know whose search path it walks")
    settings = replace(draft.settings, addresses=tuple(draft.bind))
    return draft, Block(settings, tuple(dict.fromkeys(listen)), tuple(dict.fromkeys(zones)))


def _key(key: str, about: Directive) -> tuple[str, tuple[str, ...], int]:
    """Read `[SCHEME://]ZONE[:PORT]`: its scheme, zones and port."""
    scheme, _, rest = key.rpartition("://")
    scheme = scheme or "dns"
    if scheme not in _PORTS:
        raise wrong(about, f"{key!r}: the schemes served are {', '.join(_PORTS)}")
    zone, _, port = rest.rpartition(":") if ":" in rest else (rest, "", "")
    at = words.number(port, about, 0, 65535) if port else _PORTS[scheme]
    return scheme, words.zones((zone or ".",), about), at


def _distinct(blocks: Iterable[Block], file: str) -> None:
    """Refuse two blocks for the same zone at the same place."""
    taken: set[tuple[Address, int, str]] = set()
    for block in blocks:
        for place in block.listen:
            for zone in block.zones:
                if (place.address, place.port, zone) in taken and place.port:
                    raise SettingInvalid(f"{file}: {zone or '.'} on {place} is served by two server blocks; merge them")
                taken.add((place.address, place.port, zone))


def _access(drafts: Iterable[Draft], file: str) -> Access | None:
    found = list(dict.fromkeys(draft.access for draft in drafts if draft.access))
    if len(found) > 1:
        raise SettingInvalid(f"{file}: two kubernetes blocks name two API servers; one process follows one cluster")
    return found[0] if found else None
