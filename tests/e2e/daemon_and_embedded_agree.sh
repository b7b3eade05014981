#!/bin/bash
# The same commands with and without a daemon: the same JSON but for times, the same exit codes and errors.
. "$(dirname "$0")/lib.sh"

mkdir in
head -c 2000000 /dev/urandom >in/a
printf 'text\n' >in/b
id=stoq1qquqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqlek395

commands() { # NAME: run them all, one line of JSON and one of exit code each
    local name=$1 made
    run() {
        local code=0
        on "$name" "$@" --json >one 2>two || code=$?
        jq -cS 'walk(if type == "object" then del(.seconds, .extract_seconds, .added_at, .signed_by, .pid) else . end)' one two
        printf '%s exit %s\n' "$1" "$code"
    }
    run publish in --name x --version 1
    made=$(on "$name" publish in --name x --version 1 -q)
    run publish in --name x --version 1 --no-sign
    run publish nosuch --name x --version 1
    run publish in --name X --version 1
    run ls
    run info "$made" --files
    run info "$id"
    run verify "$made"
    run get "$made" -o "$TMP/tree.$name" && same_tree in "$TMP/tree.$name"
    run get "$made" -o "$TMP/tree.$name"
    run get "$id"
    run get nonsense
    run get "$id" --from nobody
    on "$name" cat "$made" a | sha256sum
    on "$name" get "$(on "$name" publish in/a --name one --version 1 -q)" -o - | sha256sum
    run cat "$made" nosuch | sed 's/^/cat /'
    run cat "$made" a/b | sed 's/^/cat /'
    run rm "$id"
    run rm "$made"
    run info "$made"
}

commands A >embedded 2>&1 || fail "embedded: $(tail -n 3 embedded)"
start B
commands B >daemon 2>&1 || fail "daemon: $(tail -n 3 daemon)"
sed -i "s|tree\.[AB]|tree|; s|/A/|/H/|g; s|/B/|/H/|g" embedded daemon
diff embedded daemon >&2 || fail "daemon and embedded differ"
grep -q 'publish exit 0' daemon || fail "nothing ran"

# One daemon a home; its socket is its user's alone.
exits 1 on B daemon --listen '[::1]:0'
says 'a daemon already serves'
[ "$(stat -c %a B/control.sock)" = 600 ] || fail "the socket's mode"
on B status --json | jq -e '.store.packages >= 1 and .encryption == "kyber1024" and (.listen | length == 1)' >/dev/null ||
    fail "status"
on B peers --json | jq -e '.peers == []' >/dev/null || fail "peers"
curl -s --unix-socket B/control.sock http://x/v1/ls -d '{"x":1}' >out
says "unknown argument 'x'"
[ "$(curl -s -o out -w '%{http_code}' --unix-socket B/control.sock http://x/v1/nosuch -d '{}')" = 404 ] || fail "no 404"
stop B
