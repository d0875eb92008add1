"""A program that asks musl's resolver, which is what images of Alpine have."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = r"""
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>

int main(int argc, char **argv) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    char text[INET6_ADDRSTRLEN];
    int failed = getaddrinfo(argv[1], 0, &hints, &found);
    if (failed) return puts(gai_strerror(failed)), 2;
    for (; found; found = found->ai_next) {
        void *address = found->ai_family == AF_INET ? (void *)&((struct sockaddr_in *)found->ai_addr)->sin_addr
                                                    : (void *)&((struct sockaddr_in6 *)found->ai_addr)->sin6_addr;
        puts(inet_ntop(found->ai_family, address, text, sizeof text));
    }
}
"""


def resolve(folder: Path) -> Path:
    """Build it: it prints the addresses of a name, or why there are none (exit code 2)."""
    if not shutil.which("musl-gcc"):
        pytest.skip("musl-gcc is not installed (Debian package musl-tools)")
    (folder / "resolve.c").write_text(SOURCE)
    subprocess.run(["musl-gcc", "-static", "-O1", "-o", "resolve", "resolve.c"], cwd=folder, check=True)
    return folder / "resolve"
