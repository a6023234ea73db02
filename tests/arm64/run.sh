#!/usr/bin/env bash
# Runs a command in the Debian of aarch64, under qemu: run.sh FOLDER COMMAND...  FOLDER is there as /work.
# With QEMU_PAGESIZE=16384 memory pages are of that size, as on a Raspberry Pi 5. Needs root or sudo.
set -euo pipefail
[ "$(id -u)" = 0 ] || exec sudo --preserve-env=QEMU_PAGESIZE "$0" "$@"
cache=$(cd "$(dirname "$0")" && pwd)/cache
mountpoint -q /proc/sys/fs/binfmt_misc || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
[ -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ] || update-binfmts --enable qemu-aarch64
mkdir -p "$cache"/root/{dev,proc,sys,tmp}
exec unshare --mount --propagation private bash -euc '
cache=$1 root=$1/root
mount --bind "$2" "$root/work"
mount -t proc proc "$root/proc"
mount -t sysfs sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmp "$root/tmp"
mount --bind "$cache/cpuinfo" "$root/proc/cpuinfo"
shift 2
exec env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/bin HOME=/tmp LANG=C.UTF-8 QEMU_PAGESIZE="${QEMU_PAGESIZE:-4096}" \
  chroot "$root" env -C /work "$@"' run "$cache" "$(realpath "$1")" "${@:2}"
