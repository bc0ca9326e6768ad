"""Finds, downloads and unpacks a distribution's kernel package; nothing is installed on this machine."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .errors import SetupError

# Debian's kernel for virtual machines; Ubuntu's; the general ones. The first that apt knows is taken.
META_PACKAGES = ("linux-image-cloud-amd64", "linux-image-virtual", "linux-image-generic", "linux-image-amd64")

# What hosts in network namespaces need, beyond what depends on it. Absent ones are compiled in, or the test
# that needs one says so.
MODULES = """
    veth bridge dummy macvlan 8021q vxlan ipip sit ip6_tunnel ip_gre ip6_gre fou fou6
    nf_tables nft_chain_nat nft_compat nft_ct nft_fib nft_fib_inet nft_hash nft_limit nft_log nft_masq nft_meta nft_nat
    nft_numgen nft_redir nft_reject nft_reject_inet nft_synproxy nf_nat nf_conntrack nf_log_syslog
    sch_netem sch_fq_codel inet_diag tcp_diag udp_diag raw_diag netlink_diag unix_diag af_packet_diag
    virtio_pci virtio_blk virtio_console
""".split()
MODULE_DIRECTORIES = ("kernel/net/netfilter/ipvs",)


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel: `image` to boot, and `root`/lib/modules/`release`."""

    release: str
    image: Path
    root: Path


def fetch(cache: Path) -> Kernel:
    """The kernel in the cache, downloaded with apt the first time (about 30 MB)."""
    root = cache / "kernel"
    if not root.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix="kernel-", dir=cache))
        try:
            _download(staging)
            staging.rename(root)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    releases = sorted(entry.name for entry in _modules(root).iterdir() if entry.is_dir())
    if not releases:
        raise SetupError(f"{root} holds no kernel modules: remove it, it will be downloaded again")
    release = releases[-1]
    return Kernel(release, root / "boot" / f"vmlinuz-{release}", root)


def _modules(root: Path) -> Path:
    """Debian 13 and newer ship below /usr."""
    for candidate in (root / "usr/lib/modules", root / "lib/modules"):
        if candidate.is_dir():
            return candidate
    raise SetupError(f"{root} holds no kernel modules: remove it, it will be downloaded again")


def _download(into: Path) -> None:
    image = _image_package()
    release = image.removeprefix("linux-image-").removeprefix("unsigned-")
    packages = [image]
    for extra in (f"linux-modules-{release}", f"linux-modules-extra-{release}"):
        if _apt_cache("show", extra):
            packages.append(extra)
    print(f"downloading {' '.join(packages)}", flush=True)
    download = subprocess.run(
        ["apt-get", "download", "-q", *packages], cwd=into, check=False, text=True, capture_output=True
    )
    if download.returncode != 0:
        raise SetupError(f"apt-get download {' '.join(packages)} failed: {download.stderr.strip()}")
    for deb in sorted(into.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", deb, into], check=True)
        deb.unlink()


def _image_package() -> str:
    for meta in META_PACKAGES:
        match = re.search(r"Depends: (linux-image-(?:unsigned-)?\d\S*)", _apt_cache("depends", meta))
        if match:
            return match.group(1)
    raise SetupError(
        f"apt knows none of {', '.join(META_PACKAGES)}: run `apt-get update`; the VM tests need Debian or Ubuntu on x86-64"
    )


def _apt_cache(verb: str, package: str) -> str:
    """What apt-cache says, in English; empty for a package it does not know."""
    environment = {**os.environ, "LC_ALL": "C"}
    query = subprocess.run(["apt-cache", verb, package], check=False, text=True, capture_output=True, env=environment)
    return query.stdout


def selected_modules(kernel: Kernel, staging: Path) -> list[tuple[str, Path]]:
    """The modules of the guest and their index files, as (path in the guest, file), unpacked into `staging`:
    decompressing them in the guest would cost emulated time at every boot."""
    source = _modules(kernel.root) / kernel.release
    full = staging / "full"
    shutil.copytree(source, full / "lib/modules" / kernel.release, symlinks=True)
    _depmod(full, kernel.release)
    needs: dict[str, list[str]] = {}
    by_name: dict[str, str] = {}
    for line in (full / "lib/modules" / kernel.release / "modules.dep").read_text().splitlines():
        path, _, dependencies = line.partition(":")
        needs[path] = dependencies.split()
        by_name[re.sub(r"\.ko(\.\w+)?$", "", os.path.basename(path)).replace("-", "_")] = path
    wanted = {by_name[name] for name in MODULES if name in by_name}
    wanted |= {path for path in needs if path.startswith(MODULE_DIRECTORIES)}
    if not any("/ip_vs.ko" in path for path in wanted):
        raise SetupError(f"the kernel package {kernel.release} has no ip_vs module: remove {kernel.root} and try another")
    wanted |= {dependency for path in tuple(wanted) for dependency in needs[path]}

    chosen = staging / "chosen"
    target = chosen / "lib/modules" / kernel.release
    for path in sorted(wanted):
        _unpack(full / "lib/modules" / kernel.release / path, target / path)
    for index in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        if (source / index).exists():
            shutil.copy(source / index, target / index)
    _depmod(chosen, kernel.release)
    return [
        (f"usr/lib/modules/{kernel.release}/{file.relative_to(target)}", file)
        for file in sorted(target.rglob("*"))
        if file.is_file()
    ]


def _depmod(root: Path, release: str) -> None:
    subprocess.run(["/sbin/depmod", "-b", root, release], check=True, stderr=subprocess.DEVNULL)


def _unpack(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".xz":
        target.with_suffix("").write_bytes(lzma.decompress(source.read_bytes()))
    elif source.suffix == ".zst" and shutil.which("zstd"):
        subprocess.run(["zstd", "-qdf", source, "-o", target.with_suffix("")], check=True)
    else:
        shutil.copy(source, target)
