#!/usr/bin/env bash
# Pid 1 of a container made by hand: lays out a root of its own, then runs COMMAND as exactly pid PID.
#
#   container-init.sh ROOT PID SOURCE:TARGET... -- COMMAND...
#
# Started by lib.sh in fresh mount and PID namespaces, so no mount made here is seen outside or outlives it.
set -euo pipefail
root=$1 pid=$2
shift 2

# /dev comes first and is a tmpfs, as container runtimes have it: its birth time is the container's start
# by the wall clock, which shows whether that clock was set since.
mount -t tmpfs -o mode=755 container "$root"
mkdir "$root/dev"
mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done

# The host's programs and libraries stand in for an image's.
for dir in usr bin sbin lib lib64 etc; do
    if [ -L "/$dir" ]; then
        cp -P "/$dir" "$root/$dir"
    elif [ -d "/$dir" ]; then
        mkdir "$root/$dir"
        mount --rbind "/$dir" "$root/$dir"
    fi
done
mkdir -p "$root/proc" "$root/home/node" "$root/old"
mkdir -m 1777 "$root/tmp"
mount -t proc proc "$root/proc"

while [ "$1" != -- ]; do
    mkdir -p "$root/${1#*:}"
    mount --bind "${1%%:*}" "$root/${1#*:}"
    shift
done
shift

cd "$root"
pivot_root . old
umount -l /old
cd /

umask 022
# The mounts above used up pids by the dozen: set the counter back.
echo $((pid - 1)) >/proc/sys/kernel/ns_last_pid
"$@" &
[ $! = "$pid" ] || { echo "wanted pid $pid, got $!" >&2; exit 125; }
wait $!
