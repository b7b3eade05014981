#!/usr/bin/env bash
# Five hundred packages of all sizes: each is published, placed with three peers that read it again and sign, and
# fetched by a fourth. bench/packages, which measures this with 10,000, checks every one.
: "${STOQ:?}" "${STOQ_SRC:?}" "${TMP:?}"
set -euo pipefail
count=500
[ "${STOQ_FLAVOUR:-debug}" = debug ] || count=40
"$STOQ_SRC/bench/packages" "$count" --jobs 16 --batch "$((count / 2))" --stoq "$(realpath "$STOQ")" --folder "$TMP" >"$TMP/figures"
grep -qx "packages $count count" "$TMP/figures" || { cat "$TMP/figures" >&2 && exit 1; }
