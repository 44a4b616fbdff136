#!/bin/busybox sh
# The first process of a guest: mounts what programs expect, runs the probe tests and powers off.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mount -t tracefs tracefs /sys/kernel/tracing
mount -t debugfs debug /sys/kernel/debug
mount -t bpf bpf /sys/fs/bpf
mkdir -p /sys/fs/cgroup
mount -t cgroup2 cgroup /sys/fs/cgroup
# Which module needs which differs from kernel to kernel: those that failed are tried again after the others.
for module in $(cat /modules/order); do
	insmod "/modules/$module" 2>/dev/null || again="$again $module"
done
for module in $again; do
	insmod "/modules/$module"
done
ip link set lo up
# What the kernel complained of before belongs to it and to the emulator, not to the probes.
dmesg -c >/dev/null
cd /tmp
export PERFWATCH_GUEST=1
# The firmware leaves the console in the middle of a line.
echo
/probe-tests $(cat /arguments)
echo "guest: probe-tests ended with $?"
# A test has the kernel kill a process for want of memory: that, too, is told with a stack, and wanted.
dmesg | awk '
	/invoked oom-killer/ { wanted = 1 }
	/Call Trace/ && wanted { wanted = 0; next }
	/BUG|WARNING|Oops|Call Trace|blocked for more than/ { print "guest: kernel: " $0 }'
echo "guest: done"
poweroff -f
