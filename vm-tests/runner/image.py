"""Builds what the guest boots: an uncompressed initramfs from this machine's packages, in two halves.

The base (tools, their libraries, Python, kernel modules) changes rarely and is cached; the payload (our binaries,
the harness, the tests, the topologies, the job) is made anew at every run and follows the base in the same file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from . import kernel as kernels
from .cpio import Archive
from .errors import SetupError

VM_TESTS = Path(__file__).resolve().parent.parent
PROJECT = VM_TESTS.parent
CACHE = VM_TESTS / ".cache"

# Tool in the guest -> Debian package that brings it.
TOOLS = {
    "bash": "bash", "busybox": "busybox-static", "ip": "iproute2", "bridge": "iproute2", "tc": "iproute2", "ss": "iproute2",
    "nft": "nftables", "ipvsadm": "ipvsadm", "keepalived": "keepalived", "tcpdump": "tcpdump", "curl": "curl",
    "kmod": "kmod", "dbus-daemon": "dbus-daemon", "busctl": "systemd", "systemd-socket-activate": "systemd", "sysctl": "procps", "setpriv": "util-linux",
    "python3": "python3",
    # busybox's own of these would run its own ip, not iproute2's.
    "env": "coreutils", "nice": "coreutils", "timeout": "coreutils", "setsid": "util-linux", "xargs": "findutils",
    "prlimit": "util-linux",
    "systemd-modules-load": "systemd", "systemd-networkd": "systemd", "systemd-sysctl": "systemd",
}  # fmt: skip
BINARIES = ("fairway-gen", "fairway-director", "fairwayctl", "examples/ipvs-table")
# Directory in the guest -> of this checkout.
PAYLOAD = {
    "fairway/lib": VM_TESTS / "lib",
    "fairway/tests": VM_TESTS / "tests",
    "fairway/topologies": VM_TESTS / "topologies",
    "fairway/examples": PROJECT / "gen/examples",
    "fairway/systemd": PROJECT / "director/daemon/systemd",
    "fairway/ipvs": PROJECT / "director/ipvs/tests",
}
PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/systemd:/lib/systemd"

# Parts of Python's library that the guest has no use for.
PYTHON_SKIP = frozenset(
    "test tests idlelib lib2to3 ensurepip distutils pydoc_data tkinter turtledemo dist-packages site-packages "
    "__pycache__ unittest xmlrpc sqlite3 curses venv wsgiref dbm msilib".split()
)
EXTENSION_SKIP = re.compile(r"_(sqlite3|tkinter|curses|curses_panel|dbm|gdbm|ssl|test\w*|crypt|xx\w*)\.|readline\.|nis\.|ossaudiodev\.")

PASSWD = """root:x:0:0:root:/root:/bin/bash
messagebus:x:100:100::/nonexistent:/usr/sbin/nologin
keepalived_script:x:101:101::/nonexistent:/usr/sbin/nologin
fairway:x:102:102::/nonexistent:/usr/sbin/nologin
systemd-network:x:103:103::/nonexistent:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
GROUP = "root:x:0:\nmessagebus:x:100:\nkeepalived_script:x:101:\nfairway:x:102:\nsystemd-network:x:103:\nnogroup:x:65534:\n"


def build(job: dict[str, Any], binaries: Path, out: Path) -> kernels.Kernel:
    """Writes the initramfs that runs `job` to `out` and returns the kernel to boot with it."""
    kernel = kernels.fetch(CACHE)
    base = _base(kernel)
    with out.open("wb") as initramfs:
        with base.open("rb") as source:
            shutil.copyfileobj(source, initramfs, 1 << 20)
        archive = Archive(initramfs)
        _payload(archive, job, binaries)
        archive.close()
    return kernel


def _payload(archive: Archive, job: dict[str, Any], binaries: Path) -> None:
    for path, source in PAYLOAD.items():
        archive.tree(path, source)
    archive.tree("fairway/topologies", PROJECT / "gen/examples")
    archive.file("init", VM_TESTS / "lib" / "init")
    for path, source in job.pop("files", {}).items():
        archive.file(path, source)
        if os.access(source, os.X_OK):
            _libraries(archive, Path(source))
    archive.data("fairway/job.json", json.dumps(job))
    for name in BINARIES:
        binary = binaries / name
        if not binary.exists():
            raise SetupError(f"{binary} is missing: build it with `cargo build --release --workspace --bins --examples`")
        archive.data(f"usr/bin/{binary.name}", _stripped(binary), 0o755)
        _libraries(archive, binary)


def _stripped(binary: Path) -> bytes:
    """The binary without debugging sections, which the guest would only have to load into its memory."""
    key = hashlib.sha256(f"{binary}{binary.stat().st_mtime_ns}{binary.stat().st_size}".encode()).hexdigest()[:16]
    copy = CACHE / "stripped" / f"{binary.name}-{key}"
    if not copy.exists():
        copy.parent.mkdir(parents=True, exist_ok=True)
        for old in copy.parent.glob(f"{binary.name}-????????????????"):
            old.unlink()
        temporary = copy.with_suffix(".tmp")
        subprocess.run(["strip", "--strip-debug", "-o", temporary, binary], check=True)
        temporary.rename(copy)
    return copy.read_bytes()


def _find(tool: str) -> Path:
    found = shutil.which(tool, path=PATH)
    if not found:
        raise SetupError(f"{tool} is missing: apt-get install {TOOLS[tool]}")
    return Path(found)


def missing_packages() -> list[str]:
    """Packages this machine lacks for building and booting the guest."""
    wanted = {**TOOLS, "qemu-system-x86_64": "qemu-system-x86", "depmod": "kmod", "dpkg-deb": "dpkg", "strip": "binutils"}
    return sorted({package for tool, package in wanted.items() if not shutil.which(tool, path=PATH)})


def _base(kernel: kernels.Kernel) -> Path:
    tools = {tool: _find(tool) for tool in TOOLS}
    python = _python()
    sources = [Path(__file__), Path(kernels.__file__), kernel.image, *tools.values()]
    key = hashlib.sha256(
        "\n".join(f"{path.resolve()} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in sources).encode()
    ).hexdigest()[:16]
    base = CACHE / f"base-{key}.cpio"
    if base.exists():
        return base
    for old in CACHE.glob("base-*.cpio"):
        old.unlink()
    with tempfile.TemporaryDirectory(prefix="fairway-image-") as directory:
        staging = Path(directory)
        temporary = base.with_suffix(".tmp")
        with temporary.open("wb") as out:
            archive = Archive(out)
            _skeleton(archive, tools)
            _add_python(archive, python, staging)
            for path, source in kernels.selected_modules(kernel, staging):
                archive.file(path, source)
            archive.close()
        temporary.rename(base)
    return base


def _skeleton(archive: Archive, tools: dict[str, Path]) -> None:
    for directory in ("usr/bin", "usr/lib", "usr/lib64", "proc", "sys", "dev", "run", "tmp", "root", "var/lib",
                      "etc/fairway", "etc/sysctl.d", "etc/modules-load.d", "etc/nftables.d", "etc/systemd/network",
                      "etc/systemd/networkd.conf.d", "etc/dbus-1/system.d", "etc/keepalived", "etc/netns", "fairway"):  # fmt: skip
        archive.directory(directory)
    for name, target in {"bin": "usr/bin", "sbin": "usr/bin", "usr/sbin": "bin", "lib": "usr/lib", "lib64": "usr/lib64"}.items():
        archive.link(name, target)
    archive.link("var/run", "/run")
    archive.character_device("dev/console", 5, 1)
    archive.character_device("dev/null", 1, 3, 0o666)
    for tool, source in tools.items():
        # One directory for all: the guest's PATH must not depend on where a distribution puts a tool.
        archive.file(f"usr/bin/{tool}", source)
        _libraries(archive, source)
    archive.link("usr/bin/sh", "bash")  # busybox's shell would run its own ip and ping before looking at PATH
    for name in ("modprobe", "insmod", "lsmod", "rmmod", "depmod", "modinfo"):
        archive.link(f"usr/bin/{name}", "kmod")
    applets = subprocess.run([tools["busybox"], "--list"], check=True, text=True, capture_output=True).stdout.split()
    for applet in applets:
        archive.link(f"usr/bin/{applet}", "busybox")
    archive.data("etc/passwd", PASSWD)
    archive.data("etc/group", GROUP)
    archive.data("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
    archive.data("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n")
    archive.data("etc/machine-id", "f41a7a9e5d0b4d4d8a3d2a7b1c9e0f11\n")
    archive.data("root/.bashrc", "PS1='\\h:\\w# '\n")
    for name in ("protocols", "services"):
        if Path("/etc", name).exists():
            archive.file(f"etc/{name}", Path("/etc", name))


def _libraries(archive: Archive, binary: Path) -> None:
    """The shared libraries a binary loads, at the places the dynamic linker looked."""
    listing = subprocess.run(["ldd", binary], check=False, text=True, capture_output=True).stdout
    if "not found" in listing:
        raise SetupError(f"{binary} misses a library:\n{listing}")
    for match in re.finditer(r"(?:=> )?(/\S+) \(0x", listing):
        library = match.group(1)
        # usr-merged: /lib and /lib64 are links in the guest as they are here.
        inside = library if library.startswith("/usr/") else f"/usr{library}"
        archive.file(inside, library)


def _python() -> dict[str, str]:
    """Where the system Python keeps its library."""
    code = "import json, sysconfig; p = sysconfig.get_paths(); print(json.dumps({k: p[k] for k in ('stdlib', 'platstdlib')}))"
    return json.loads(subprocess.run([_find("python3"), "-c", code], check=True, text=True, capture_output=True).stdout)


def _add_python(archive: Archive, python: dict[str, str], staging: Path) -> None:
    library = Path(python["stdlib"])
    copy = staging / "python"

    def skip(_: str, names: list[str]) -> list[str]:
        return [name for name in names if name in PYTHON_SKIP or name.startswith("config-") or EXTENSION_SKIP.match(name)]

    shutil.copytree(library, copy, ignore=skip)
    # Compiled here: compiling under emulation would cost seconds at every boot.
    subprocess.run(
        [_find("python3"), "-m", "compileall", "-q", "-s", copy, "-p", library, "--invalidation-mode", "unchecked-hash", copy],
        check=False, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    archive.tree(str(library), copy, skip=frozenset())
    for extension in sorted((copy / "lib-dynload").glob("*.so")):
        _libraries(archive, extension)
