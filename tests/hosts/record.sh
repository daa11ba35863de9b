#!/usr/bin/env bash
# Records what keel-host reads of this host into a folder, as a test's host tree.
#
#     record.sh DIR      DIR must not exist. Run as root, else other users' processes are missed.
#
# Values are copied as they are. Of /proc/PID/status only name and hugepages of those who hold some,
# of /proc/mounts only hugetlbfs, of programs and of files in hugetlbfs only that they are there.
set -euo pipefail
tree=${1:?usage: record.sh DIR}
mkdir "$tree"

copy() {
    local path
    for path in "$@"; do
        [ -r "$path" ] || continue
        mkdir -p "$tree$(dirname "$path")"
        cat "$path" >"$tree$path"
    done
}

mark() {
    mkdir -p "$tree$(dirname "$1")"
    : >"$tree$1"
}

for pool in /sys/kernel/mm/hugepages/hugepages-*kB /sys/devices/system/node/node*/hugepages/hugepages-*kB; do
    copy "$pool"/{nr,free,surplus,resv,nr_overcommit}_hugepages
done
copy /sys/devices/system/node/node*/cpulist
mkdir -p "$tree/proc"
awk '$3 == "hugetlbfs"' /proc/mounts >"$tree/proc/mounts"
for status in /proc/[0-9]*/status; do
    grep -qs '^HugetlbPages:.*[1-9]' "$status" || continue
    mkdir -p "$tree$(dirname "$status")"
    grep -E '^(Name|HugetlbPages):' "$status" >"$tree$status"
done
while read -r _ point _; do
    for file in "$point"/*; do
        [ ! -f "$file" ] || mark "$file"
    done
done <"$tree/proc/mounts"
[ ! -e /usr/bin/hugeadm ] || mark /usr/bin/hugeadm
echo "recorded into $tree: $(find "$tree" -type f | wc -l) files"
