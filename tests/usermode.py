"""A user-mode Linux kernel, booted on this host's own files to run one command as root. It has IPVS; hosts may not."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

KERNEL = "linux.uml"
MODULES = Path("/usr/lib/uml/modules")

_INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mkdir -p /run/lib/modules
ln -s {modules}/$(uname -r) /run/lib/modules/
printf '#!/bin/sh\\nexec modprobe -d /run "$@"\\n' >/run/modprobe
chmod +x /run/modprobe
echo /run/modprobe >/proc/sys/kernel/modprobe
for module in ip_vs ip_vs_rr ip_vs_wrr ip_vs_sh nf_conntrack veth dummy iptable_nat ip6table_nat; do
  /run/modprobe $module
done
ip link set lo up
({command}) >{work}/output 2>&1
halt -f
"""


def missing() -> str:
    """Say why no such kernel can run here; "" where one can."""
    if shutil.which(KERNEL) and shutil.which("cc") and MODULES.is_dir() and os.geteuid() == 0:
        return ""
    return "needs root, a user-mode Linux kernel (Debian: user-mode-linux) and a C compiler for IPVS"


def boot(work: Path, command: str) -> subprocess.Popen[bytes]:
    """Start a kernel that runs a command and halts; what that prints is in the file `output` of the folder `work`."""
    source = Path(__file__).with_name("xstate.c")  # lets the kernel run on every processor, and tells why
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", work / "xstate.so", source], check=True)
    init = work / "init"
    init.write_text(_INIT.format(work=work, modules=MODULES, command=command))
    init.chmod(0o755)
    options = "mem=512M root=/dev/root rootfstype=hostfs rootflags=/ rw con=null con0=fd:0,fd:1 con1=null ssl=null"
    started = [KERNEL, *options.split(), f"init={init}", f"uml_dir={work}"]
    environment = {**os.environ, "LD_PRELOAD": str(work / "xstate.so")}
    with (work / "console").open("wb") as console:
        return subprocess.Popen(
            started, stdin=subprocess.DEVNULL, stdout=console, stderr=console, env=environment, start_new_session=True
        )


def end(kernel: subprocess.Popen[bytes], patience: float) -> None:
    """Wait for the kernel to halt, so many seconds at most."""
    try:
        kernel.wait(patience)
    except subprocess.TimeoutExpired:
        os.killpg(kernel.pid, signal.SIGKILL)
        kernel.wait()
