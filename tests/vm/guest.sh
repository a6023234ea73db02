# Inside the virtual machine: devices and modules, then the command that boot.sh was given.
export LIVEMEF_VM=1 PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LANG=C.UTF-8
cd "$(dirname "${BASH_SOURCE[0]}")"
HERE=$PWD
ip link set lo up 2>/dev/null || ifconfig lo up 2>/dev/null
mkdir -p /run/udev
/lib/systemd/systemd-udevd --daemon
modprobe -a uvcvideo vhci_hcd
modprobe v4l2loopback video_nr=9 card_label=livemef exclusive_caps=1
# picamera2 takes its buffers from the heap that a Pi has, and libcamera wants a firmware node for the host controller
ln -s system "/dev/dma_heap/linux,cma"
echo '\_SB_.SIM0' > /run/firmware_node
export LD_PRELOAD=$HERE/cache/firmware_node.so LIBCAMERA_LOG_LEVELS='*:ERROR'
SITE=$(../../.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
printf '%s\n' "$HERE/cache/python" "$HERE/stubs" /usr/lib/x86_64-linux-gnu/python3.11/site-packages \
  /usr/lib/python3/dist-packages > "$SITE/guest.pth"
dmesg -n 1
echo "virtual machine ready after $(cut -d' ' -f1 /proc/uptime) s"
cd ../..
bash "$HERE/cache/share/command"
echo $? > "$HERE/cache/share/status"
echo "virtual machine done after $(cut -d' ' -f1 /proc/uptime) s"
