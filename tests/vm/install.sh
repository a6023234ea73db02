#!/usr/bin/env bash
# What the virtual machine of the camera tests needs, from Debian and PyPI, into tests/vm/cache (ignored by git).
# Needs Debian 12: libcamera for Python exists there as a package for its Python 3.11 only, from the backports.
# Nothing but qemu and its helpers is installed on this machine; the kernel and libcamera are only unpacked.
set -euo pipefail
cd "$(dirname "$0")"
PYTHON=../../.venv/bin/python
CACHE=$PWD/cache
READY=$CACHE/ready
WANTED=$(cat install.sh init firmware_node.c | sha256sum | cut -c1-16)
[ "$(cat "$READY" 2>/dev/null)" = "$WANTED" ] && exit 0

[ "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" = bookworm ] ||
  { echo "install.sh: the camera tests need Debian 12 (bookworm)" >&2; exit 2; }
$PYTHON -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' ||
  { echo "install.sh: libcamera of Debian 12 needs Python 3.11 in .venv: make clean; make PYTHON=python3.11 setup" >&2; exit 2; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
as_root apt-get update -qq
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
  qemu-system-x86 busybox-static cpio kmod xz-utils udev gcc make libelf-dev libcap-dev >/dev/null

rm -rf "$CACHE"
mkdir -p "$CACHE"/apt/lists/partial "$CACHE"/apt/archives/partial "$CACHE"/share
KEYS=/usr/share/keyrings/debian-archive-keyring.gpg
for suite in bookworm bookworm-backports; do
  echo "deb [signed-by=$KEYS] http://deb.debian.org/debian $suite main"
done > "$CACHE/apt/sources.list"
apt_apart() {
  apt-get -qq -o Dir::Etc::SourceList="$CACHE/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::State::Lists="$CACHE/apt/lists" -o Dir::Cache::Archives="$CACHE/apt/archives" \
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o Debug::NoLocking=1 -o APT::Sandbox::User=root "$@"
}
apt_apart update
apt_apart install -t bookworm-backports --download-only --reinstall -y --no-install-recommends \
  linux-image-amd64 python3-libcamera libcamera-ipa python3-gi gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-base \
  >/dev/null
# v4l2loopback (the virtual camera) is no part of the kernel: its module is compiled against the headers, which stay apart
KERNEL=$(basename "$CACHE"/apt/archives/linux-image-[0-9]*.deb | cut -d_ -f1)
KERNEL=${KERNEL#linux-image-}
COMMON=${KERNEL%-amd64}
mkdir "$CACHE/headers"
(cd "$CACHE/headers" && apt_apart download -t bookworm-backports \
  "linux-headers-$KERNEL" "linux-headers-$COMMON-common" "linux-kbuild-$COMMON" v4l2loopback-dkms)
for package in "$CACHE"/headers/*.deb; do dpkg-deb -x "$package" "$CACHE/headers"; done
rm -f "$CACHE"/apt/archives/{initramfs-tools,klibc,libklibc,linux-base}*.deb
for package in "$CACHE"/apt/archives/*.deb; do dpkg-deb -x "$package" "$CACHE/root"; done
rm -rf "$CACHE/apt"
# /lib is a link to usr/lib on Debian, and must stay one where this tree is laid over it
mv "$CACHE"/root/lib/* "$CACHE/root/usr/lib/" && rmdir "$CACHE/root/lib"
VERSION=$(ls "$CACHE/root/usr/lib/modules")
LOOPBACK=$(echo "$CACHE"/headers/usr/src/v4l2loopback-*)
sed -i "s#/usr/src/#$CACHE/headers/usr/src/#g" "$CACHE/headers/usr/src/linux-headers-$KERNEL/Makefile"
make -s -C "$CACHE/headers/usr/src/linux-headers-$KERNEL" "M=$LOOPBACK" CC=gcc CONFIG_DEBUG_INFO_BTF_MODULES= modules >/dev/null
install -D -t "$CACHE/root/usr/lib/modules/$VERSION/extra" "$LOOPBACK/v4l2loopback.ko"
rm -rf "$CACHE/headers"
ln -s usr/lib "$CACHE/root/lib"
depmod -b "$CACHE/root" "$VERSION"
rm "$CACHE/root/lib"
cp "$CACHE/root/boot/vmlinuz-$VERSION" "$CACHE/vmlinuz"

RAM=$CACHE/initramfs
mkdir -p "$RAM"/{bin,modules,proc,sys,dev,ro,unpacked,rw,new}
cp /bin/busybox "$RAM/bin/"
for module in netfs 9pnet 9pnet_virtio 9p overlay; do
  find "$CACHE/root" -name "$module.ko.xz" -exec xz -dc {} \; > "$RAM/modules/$module.ko"
done
cp init "$RAM/init"
(cd "$RAM" && find . | cpio -o -H newc --quiet | gzip -1) > "$CACHE/initramfs.gz"
rm -rf "$RAM"

$PYTHON -m pip install --quiet --target "$CACHE/python" picamera2==0.3.38
gcc -shared -fPIC -O1 -o "$CACHE/firmware_node.so" firmware_node.c -ldl
echo "$WANTED" > "$READY"
