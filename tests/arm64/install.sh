#!/usr/bin/env bash
# A Debian 12 of aarch64 in tests/arm64/cache (ignored by git), with the packages that livemef and its tests need.
# Made of files alone: nothing of it is run here. Needs Debian 12, and root or sudo.
set -euo pipefail
cd "$(dirname "$0")/../.."
cache=tests/arm64/cache root=tests/arm64/cache/root
stamp=$(cat pyproject.toml "$0" | sha256sum | cut -c1-16)
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

[ "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" = bookworm ] ||
  { echo "install.sh: the tests on aarch64 need Debian 12 (bookworm)" >&2; exit 2; }
tools=(arch-test binfmt-support gcc-aarch64-linux-gnu libc6-dev-arm64-cross mmdebstrap qemu-user-static)
if ! dpkg -s "${tools[@]}" >/dev/null 2>&1; then
  echo "livemef: installing ${tools[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${tools[@]}" >/dev/null
fi
[ -e "$cache/ready-$stamp" ] && exit

echo "livemef: making a Debian of aarch64 in $cache"
as_root rm -rf "$cache"
mkdir -p "$cache"
as_root mmdebstrap --quiet --mode=root --architectures=arm64 --variant=extract \
  --include=base-files,coreutils,dash,libpython3-stdlib,libstdc++6,python3 bookworm "$root" http://deb.debian.org/debian
as_root install -d -o "$(id -u)" "$root/usr/local/lib/python3.11/dist-packages" "$root/work"

python=$(tests/environments/find_python.sh 3.11)
platforms=(--platform manylinux2014_aarch64)
for glibc in {17..36}; do platforms+=(--platform "manylinux_2_${glibc}_aarch64"); done
# Left out: what no test here uses, or has no wheel (pip installs for another processor from wheels alone).
mapfile -t wanted < <("$python" -c '
import tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
extras = project["optional-dependencies"]
wanted = project["dependencies"] + extras["web"] + extras["v4l2"] + extras["test"]
print(*[one for one in wanted if not one.startswith(("ruff", "mypy", "tomli>", "bagit"))], sep="\n")')
# Python reads this folder by itself, also where a test clears the environment.
"$python" -m pip install --quiet --disable-pip-version-check --only-binary :all: --implementation cp --python-version 311 \
  "${platforms[@]}" --target "$root/usr/local/lib/python3.11/dist-packages" "${wanted[@]}"
# onnxruntime asks /proc/cpuinfo which processor this is, and crashes on the answer of an x86.
for core in 0 1; do
  printf 'processor\t: %s\nFeatures\t: fp asimd atomics fphp asimdhp asimddp cpuid\nCPU implementer\t: 0x41\n' $core
  printf 'CPU architecture: 8\nCPU variant\t: 0x4\nCPU part\t: 0xd0b\nCPU revision\t: 1\n\n'
done >"$cache/cpuinfo"
touch "$cache/ready-$stamp"
