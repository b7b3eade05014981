#!/bin/bash
# The daemon's life: ready file, stop, TERM, INT, HUP, kill -9 and serving again.
. "$(dirname "$0")/lib.sh"

start A
jq -e --argjson pid "${daemon[A]}" '.pid == $pid and (.peer | startswith("peer1q")) and (.listen[0] | startswith("[::1]:"))' \
    A.ready >/dev/null || fail "ready file: $(cat A.ready)"
[ "$(jq -r .peer A.ready)" = "$(on A key --json | jq -r .peer)" ] || fail "another peer id"
[ "$(stat -c %a A A/key.pem A/stoq.conf | tr '\n' ' ')" = '700 600 600 ' ] || fail "modes of the home"

on A stop
code=0 && wait "${daemon[A]}" || code=$?
[ "$code" = 0 ] || fail "stop left exit code $code"
unset 'daemon[A]'
[ ! -e A.ready ] && [ ! -e A/control.sock ] || fail "files left behind"
exits 6 on A status

# An IPv4 address beside the IPv6 one, each reached at its own.
start A --listen 127.0.0.1:0
for at in 0 1; do
    on B ping "$(jq -r ".peer + \"@\" + .listen[$at]" A.ready)" -q || fail "no answer at $(jq -r ".listen[$at]" A.ready)"
    on B ping --datagram "$(jq -r ".peer + \"@\" + .listen[$at]" A.ready)" -q
done
stop A
start A
stop A INT

start A
kill -HUP "${daemon[A]}"
wait_for grep -q 'configuration read again' A.log || fail "HUP was not heard"
printf '[limits]\nstreams = 7\n' >>A/stoq.conf
kill -HUP "${daemon[A]}"
wait_for grep -q 'read again; these count from the next start: limits.streams' A.log || fail "what waits is not named"
on A status --json | jq -e '.configuration.next_start == "limits.streams"' >/dev/null || fail "$(on A status)"
printf 'listen\n' >>A/stoq.conf
kill -HUP "${daemon[A]}"
wait_for grep -q 'kept as it was.*stoq.conf:[0-9]*: ' A.log || fail "a damaged configuration was not refused"
on A status -q >/dev/null || fail "HUP ended it"
sed -i '$d' A/stoq.conf

# The socket answers its own user and root, even where its mode would let others in.
if [ "$(id -u)" = 0 ]; then
    ask=(curl -s -w ' %{http_code}' --unix-socket "$TMP/A/control.sock" http://x/v1/ls -d '{}')
    chmod 755 "$TMP" A && chmod 666 A/control.sock
    "${ask[@]}" | grep ' 200$' || fail "root is not served"
    (cd / && setpriv --reuid 65534 --clear-groups "${ask[@]}" >"$TMP/other") || true
    if ! grep -q ' 000$' other; then # it could reach the socket at all
        grep -q ' 403$' other || fail "another user got $(cat other)"
    fi
fi

stop A KILL
[ -e A/control.sock ] || fail "kill -9 cannot have removed it"
exits 6 on A status
start A
on A status -q >/dev/null
stop A
