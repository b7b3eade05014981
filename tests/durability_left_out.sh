#!/bin/sh
#
# A step of src/store/durable.h that is left out must be found by the crash campaign, or the campaign
# proves nothing. In a check one step stands for all; `make crash` names each:
#
# Usage: tests/durability_left_out.sh [STEP]...
set -eu

[ "$STOQ_FLAVOUR" = debug ] || { echo "the recorder stands where a sanitizer would"; exit 77; }
[ $# -gt 0 ] || set -- segment_dirsync
bad=0
for step in "$@"; do
    program=tests/crash/crash_without_$step
    run="$STOQ_BUILD/$program -n ${STOQ_CRASH_STATES:-900} -o $TMP"
    # Some steps matter between two calls only, and a seed may pass by the one operation that tells: more seeds,
    # and every prefix.
    again="$STOQ_BUILD/$program -n 2100 -o $TMP"
    if [ "$step" = rewrite_readback ]; then
        run=$STOQ_BUILD/$program # a disk that lies: a unit test of the store has one
        again=false
    fi
    ninja -C "$STOQ_BUILD" "$program" >build.log 2>&1 || { cat build.log; exit 1; }
    if (cd "$STOQ_SRC" && $run) >run.log 2>&1 &&
        { [ "$again" = false ] || (cd "$STOQ_SRC" && $again -s 2 && $again -s 3) >run.log 2>&1; }; then
        echo "$step: left out, and nothing is found"
        bad=1
    else
        echo "$step: left out, found: $(grep -m1 -o -E 'variant [0-9]+: .*|in the log itself: .*|^\[  FAILED  \] [a-z_]+$' run.log |
            cut -c1-70)"
    fi
done
exit $bad
