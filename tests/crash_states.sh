#!/bin/sh
#
# A slice of the crash campaign (`make crash` runs all of it): some 600 states that a power cut or a
# kill may leave of a store, each opened and checked. Then: the calls that the recorder saw are the
# calls that strace sees, so no way to make things durable goes past it.
set -eu

[ "$STOQ_FLAVOUR" = debug ] || { echo "the recorder stands where a sanitizer would"; exit 77; }
crash=$STOQ_BUILD/tests/crash/crash
"$crash" -n "${STOQ_CRASH_STATES:-100}" -s "${STOQ_CRASH_SEED:-1}"

command -v strace >/dev/null || { echo "no strace: the recorder's list is not compared"; exit 0; }
strace -o /dev/null true 2>/dev/null || { echo "strace may not trace here"; exit 0; }
for work in life torn rebuilt collected; do
    strace -f -y -o trace -e trace=fsync,fdatasync,rename,renameat,renameat2,msync,sync,syncfs \
        "$crash" -t -w $work >ops
    # Both as lines of "call name", a name being a path's last part; a folder's own is left out.
    sed -n -E 's/^[0-9]+ +(fsync|fdatasync)\([0-9]+<[^>]*\/work\/([^>]*\/)?([^>\/]+)>.*/\1 \3/p
        s/^[0-9]+ +rename(at2?)?\([^"]*"([^"]*\/)?([^"\/]+)", .*/rename \3/p
        s/^[0-9]+ +(msync|sync|syncfs)\(.*/\1/p' trace | sort >seen
    awk '$2 == "sync" && $3 != "0+0" { print "fsync", $3 }
        $2 == "datasync" { print "fdatasync", $3 }
        $2 == "rename" { print "rename", $3 }' ops | sort >noted
    cmp seen noted || { diff seen noted | head -20; exit 1; }
    [ "$(wc -l <noted)" -gt 20 ] || { echo "$work: only $(wc -l <noted) calls"; exit 1; }
    echo "$work: $(wc -l <noted) calls that strace and the recorder agree on"
done
