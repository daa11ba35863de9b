#!/bin/sh
# Proves from the objects that libraries are pure: they call nothing outside themselves but the
# compiler's own helpers and ENSURE, and they hold no mutable data.
# usage: purity.sh LIBRARY... (static libraries that may use one another)
set -eu
[ $# -gt 0 ] || { echo "usage: purity.sh LIBRARY..." >&2; exit 2; }

# The sysv format names each symbol's section: constant tables of pointers are relocated once, at
# start, in .data.rel.ro, and are no mutable data.
symbols=$(nm --format=sysv "$@") || { echo "purity.sh: nm failed" >&2; exit 2; }
printf '%s\n' "$symbols" | awk -F'|' '
    NF < 7 { next }
    { gsub(/ /, ""); name = $1; class = $3; section = $7 }
    # What a sanitizer or coverage build adds is the compiler, not the source.
    name ~ /^(__asan_|__ubsan_|__odr_asan|__sanitizer_|__gcov|__llvm_|\.LASAN)/ { next }
    class == "U" { wanted[name] = 1; next }
    class ~ /^[TtWVR]$/ { held[name] = 1; functions += class == "T" }
    class ~ /^[DdBbC]$/ && section !~ /^\.data\.rel\.ro/ { printf "mutable data: %s\n", name; bad = 1 }
    class == "D" { held[name] = 1 }
    END {
        split("memcpy memmove memset memcmp ensure_failed __stack_chk_fail " \
              "_GLOBAL_OFFSET_TABLE_", list, " ")
        for (i in list)
            allowed[list[i]] = 1
        for (name in wanted)
            if (!(name in held) && !(name in allowed)) {
                printf "calls outside: %s\n", name
                bad = 1
            }
        if (functions == 0) {
            print "no function found"
            bad = 1
        }
        exit bad
    }'
