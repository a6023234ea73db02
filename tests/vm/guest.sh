# Inside the virtual machine: devices and modules, then the command that boot.sh was given.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LANG=C.UTF-8
cd "$(dirname "${BASH_SOURCE[0]}")"
HERE=$PWD
ip link set lo up 2>/dev/null || ifconfig lo up 2>/dev/null
mkdir -p /run/udev
/lib/systemd/systemd-udevd --daemon
modprobe -a uvcvideo vhci_hcd
dmesg -n 1
echo "virtual machine ready after $(cut -d' ' -f1 /proc/uptime) s"
cd ../..
bash "$HERE/cache/share/command"
echo $? > "$HERE/cache/share/status"
echo "virtual machine done after $(cut -d' ' -f1 /proc/uptime) s"
