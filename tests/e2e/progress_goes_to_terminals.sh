#!/bin/bash
# Progress: on a terminal only, unless asked for; JSON lines for scripts; never with --quiet or to stdout.
. "$(dirname "$0")/lib.sh"

head -c 150000000 /dev/zero | openssl enc -aes-128-ctr -K 00 -iv 00 2>/dev/null >big
publish=("$STOQ" --home "$TMP/A" publish big --name big --version)

"${publish[@]}" 1 >out 2>err
! grep -q $'\r' err || fail "a line is drawn over without a terminal"
[ "$(wc -l <err)" = 1 ] || fail "more than the summary: $(cat err)"

"${publish[@]}" 2 --progress=always >out 2>err
grep -q $'\r.*%.*MiB of.*\033\\[K' err || fail "no line with --progress=always"
[ "$(wc -l <out)" = 1 ] || fail "progress on stdout"

"${publish[@]}" 3 --progress=json --quiet >out 2>err
[ -s err ] || fail "no events"
jq -es 'map(.type == "progress" and .phase == "publish" and .bytes <= .bytes_total) | all' err >/dev/null || fail "events: $(head err)"

if command -v script >/dev/null; then
    COLUMNS=60 TERM=xterm script -qec "'${publish[0]}' --home '$TMP/A' publish big --name big --version 4" typescript >/dev/null </dev/null
    grep -q $'\r.*publish.*%' typescript || fail "nothing on a terminal"
    tr '\r' '\n' <typescript | sed 's/\x1b\[K//' | grep '%' | awk 'length($0) > 60 { exit 1 }' || fail "wider than the terminal"
    TERM=dumb script -qec "'${publish[0]}' --home '$TMP/A' publish big --name big --version 5" typescript >/dev/null </dev/null
    ! grep -q $'%.*MiB of' typescript || fail "a line on a dumb terminal"
    TERM=xterm script -qec "'${publish[0]}' --home '$TMP/A' publish big --name big --version 6 --quiet" typescript >/dev/null </dev/null
    ! grep -q '%' typescript || fail "a line with --quiet"
fi

# Ctrl-C: 130, one sentence, and the store is whole. On a busy machine it may be over before that comes: another try.
for try in 1 2 3 4 5 6; do
    "${publish[@]}" 7 --threads 1 --read-bytes 64 --progress=json >out7 2>err7 &
    pid=$!
    wait_for test -s err7 || fail "no progress"
    kill -INT $pid 2>/dev/null || true
    code=0 && wait $pid || code=$?
    [ $code = 0 ] || break
    on A rm "$(cat out7)" -q
done
[ $code = 130 ] || fail "interrupted publish exited with $code"
[ ! -s out7 ] || fail "an id was printed by an interrupted publish"
tail -n 1 err7 | grep '^stoq: ' || fail "no sentence: $(cat err7)"
"${publish[@]}" 7 -q >out
on A verify "$(cat out)" -q
