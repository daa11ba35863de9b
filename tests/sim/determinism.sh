#!/usr/bin/env bash
# The same seeds must give the same trace hashes whoever compiles the simulator, and however hard: the trace
# takes in every event, every frame's bytes, every committed entry's digest and every answer.
#
#     determinism.sh [SEEDS [FIRST]]   prints a TAP line for each pair of compilers and levels
set -euo pipefail
shopt -s extglob
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
seeds=${1:-5}
first_seed=${2:-1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sources=(consensus/*/*.c client/engine*.c client/lease.c client/order.c control/autopilot.c control/autopilot_why.c control/backup.c control/backup_file.c control/boots.c control/checkpoint.c control/detector.c control/suspicion.c control/digests.c
    control/control.c control/cursor.c control/due.c control/founders.c control/founding.c control/keepalive.c control/leadership.c control/looking.c control/members.c control/peers.c control/receiving.c control/repairing.c
    control/queries.c control/rekey.c control/requests.c control/sending.c control/sessions.c
    control/replay.c control/startup.c control/trips.c control/trying.c control/window.c dataplane/answer.c dataplane/apply.c dataplane/command.c dataplane/crc32c.c
    dataplane/feed.c dataplane/feed_exceptions.c dataplane/feed_past.c dataplane/feed_request.c dataplane/feed_table.c dataplane/frame.c
    dataplane/gate.c dataplane/install.c dataplane/intake.c dataplane/leadership.c dataplane/members.c
    dataplane/loop.c dataplane/metrics.c dataplane/neighbour.c dataplane/receive.c dataplane/repair.c
    dataplane/catch_up.c dataplane/replica.c dataplane/replicate.c dataplane/send.c
    dataplane/step.c dataplane/auth/*.c
    dataplane/ring/*.c tests/sim/!(repair_main|planted).c tests/reach/reach{,_drive,_elect,_holes,_log,_look,_members,_table}.c)
flags=(-std=gnu17 -w -I. -D_GNU_SOURCE -msse4.2 -fno-strict-aliasing)
libraries=(-lcrypto -lisal -lIPSec_MB -linih)

# compile COMPILER LEVEL: every source at once into $work/COMPILER-LEVEL
compile() {
    local compiler=$1 level=$2 name="$1-$2"
    mkdir "$work/$name"
    printf '%s\n' "${sources[@]}" | xargs -P "$(nproc)" -I{} sh -c '
        source=$1; object=$2/$(printf %s "$1" | tr / _).o; shift 2
        "$@" -c "$source" -o "$object"' _ {} "$work/$name" \
        "$compiler" "-$level" "${flags[@]}"
    "$compiler" "$work/$name"/*.o "${libraries[@]}" -o "$work/keel-sim-$name"
}

echo "TAP version 13"
echo "1..3"
number=0 failed=0 first=
for compiler in gcc clang; do
    for level in O0 O3; do
        name="$compiler-$level"
        compile "$compiler" "$level"
        timeout 300 "$work/keel-sim-$name" --seeds "$seeds" --first-seed "$first_seed" --trace --quiet |
            grep '^seed ' | sort -n -k2 >"$work/trace-$name"
        if [ "$(wc -l <"$work/trace-$name")" -ne "$seeds" ]; then
            echo "Bail out! keel-sim of $name did not print $seeds traces"
            exit 1
        fi
        if [ -z "$first" ]; then
            first=$name
            continue
        fi
        number=$((number + 1))
        if cmp -s "$work/trace-$first" "$work/trace-$name"; then
            echo "ok $number - $name has the traces of $first, $seeds seeds"
        else
            failed=1
            echo "not ok $number - $name has other traces than $first"
            diff "$work/trace-$first" "$work/trace-$name" | sed 's/^/# /' | head -4
        echo "# replay: tests/sim/determinism.sh $seeds $first_seed"
        fi
    done
done
exit "$failed"
