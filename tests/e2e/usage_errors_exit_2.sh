#!/bin/bash
# What nobody can mean is refused with exit code 2 and one sentence on stderr; nothing goes to stdout.
. "$(dirname "$0")/lib.sh"

for wrong in '' 'nosuchcommand' '--nosuchoption' 'help --nosuchoption' 'version too many words'; do
    # shellcheck disable=SC2086
    exits 2 "$STOQ" $wrong
    [ ! -s out ] || fail "'$wrong' printed to stdout"
    [ -s err ] || fail "'$wrong' said nothing"
done

exits 0 "$STOQ" --version
says 'protocol: stoq/1'
exits 0 "$STOQ" --version --json
jq -e '.version and .protocol' out >/dev/null || fail "--version --json lacks a key"
exits 0 "$STOQ" help
