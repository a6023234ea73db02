#!/usr/bin/env bash
# Run a command in the virtual machine, in the repository's root: tests/vm/boot.sh COMMAND [ARGUMENT ...]
# Ends with the command's exit status; 124 after LIVEMEF_VM_LIMIT_S (600).
set -euo pipefail
cd "$(dirname "$0")"
SHARE=$PWD/cache/share
rm -f "$SHARE/status"
printf '%q ' "$@" > "$SHARE/command"
share() { echo "-fsdev local,id=$1,path=$2,security_model=none,multidevs=remap$3 -device virtio-9p-pci,fsdev=$1,mount_tag=$1"; }
# shellcheck disable=SC2046  # the words of share are options
timeout --foreground "${LIVEMEF_VM_LIMIT_S:-600}" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 2048 \
  -nodefaults -display none -no-reboot -serial stdio -kernel cache/vmlinuz -initrd cache/initramfs.gz \
  -append "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable DIR=$PWD" \
  $(share host / ,readonly=on) $(share unpacked "$PWD/cache/root" ,readonly=on) $(share share "$SHARE" "") </dev/null || exit $?
exit "$(cat "$SHARE/status" 2>/dev/null || echo 1)"
