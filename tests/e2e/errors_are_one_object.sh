#!/bin/bash
# With --json every failure is one object on stdout with code, message and the exit code, before and after
# the command's name is known; without it one sentence on stderr.
. "$(dirname "$0")/lib.sh"

refused() { # CODE EXIT COMMAND...
    local code=$1 exit=$2
    shift 2
    exits "$exit" "$@"
    [ ! -s err ] || fail "said something on stderr: $*"
    [ "$(wc -l <out)" = 1 ] || fail "not one line: $*"
    jq -e --arg code "$code" --argjson exit "$exit" \
        '.error | .code == $code and .exit == $exit and (.message | length > 5)' out >/dev/null ||
        fail "not the error $code: $(cat out)"
}

id=stoq1qquqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqlek395
stoq() { "$STOQ" --home "$TMP/home" "$@"; }
refused Usage 2 stoq --json
refused Usage 2 stoq --json nosuch
refused Usage 2 stoq nosuch --json
refused Usage 2 stoq ls extra --json
refused Usage 2 stoq ls --progress=sometimes --json
refused Usage 2 stoq publish . --name a --json
refused Usage 2 stoq publish . --version 1 --json
refused Usage 2 stoq publish . --name A/b --version 1 --json
refused Usage 2 stoq publish . --name a --version 'a b' --json
refused Usage 2 stoq publish . --name a --version 1 --annotation x --json
refused Usage 2 stoq publish . --name a --version 1 --threads 65 --json
refused Usage 2 stoq publish . --name a --version 1 --name b --json
refused Usage 2 stoq get --json
refused Usage 2 stoq daemon --listen localhost:1 --json
refused Usage 2 stoq manifest eat x --json
refused InvalidId 2 stoq get stoq1 --json
refused InvalidId 2 stoq info "${id}q" --json
refused InvalidId 2 stoq info "${id%?}4" --json
refused InvalidId 2 stoq get "peer1${id#stoq1}" --json
refused Usage 2 stoq get "$id" --from nobody --json
refused InvalidId 2 stoq get "$id" --from 'nobody@[::1]:1' --json
refused NotFound 3 stoq publish /nonexistent/file --name a --version 1 --json
refused DaemonNotRunning 6 stoq status --json
refused DaemonNotRunning 6 stoq peers --json
refused DaemonNotRunning 6 stoq stop --json

rm -rf home
refused HomeMissing 3 stoq key --json
refused HomeMissing 3 stoq info "$id" --json
exits 0 stoq ls --json
[ "$(jq -c . out)" = '{"packages":[],"damaged":0}' ] || fail "an empty home lists $(cat out)"
[ ! -e home ] || fail "reading made a home"

exits 0 stoq init
refused ContentNotFound 3 stoq info "$id" --json
refused ContentNotFound 3 stoq verify "$id" --json
refused ContentNotFound 3 stoq rm "$id" --json
refused NoSource 5 stoq get "$id" --json

# Content goes to stdout, so the object goes to stderr.
exits 3 stoq cat "$id" a --json
[ ! -s out ] || fail "cat printed an error as content"
jq -e '.error.code == "ContentNotFound"' err >/dev/null || fail "cat's error: $(cat err)"

printf 'nonsense = 1\n' >home/stoq.conf
refused ConfigInvalid 1 stoq ls --json
jq -e '.error.message | endswith("stoq.conf:1: nonsense: no such key")' out >/dev/null || fail "no line in $(cat out)"
exits 1 stoq ls
says 'stoq.conf:1: nonsense: no such key'
[ "$(wc -l <err)" = 1 ] || fail "more than a sentence"
rm home/stoq.conf
exits 3 stoq ls --config "$TMP/nosuch.conf"

chmod 0644 home/key.pem
refused KeyInvalid 1 stoq key --json
