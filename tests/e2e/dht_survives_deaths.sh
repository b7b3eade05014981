#!/bin/bash
# Twenty daemons in a chain of joins: records reach as many as are told, and when eight are killed at once what
# has a living provider is found and fetched by any of the others within five seconds.
. "$(dirname "$0")/lib.sh"

names=()
for i in $(seq -w 20); do
    names+=("d$i")
    on "d$i" init >/dev/null 2>&1
    printf 'listen = [::1]:0\n[discovery]\nlan = off\nexchange = off\n[dht]\nbits = 4\n[limits]\nworkers = 1\n' >"$(home "d$i")/stoq.conf"
    "$STOQ" --home "$(home "d$i")" daemon --ready-file "$TMP/d$i.ready" >>"$TMP/d$i.log" 2>&1 &
    daemon["d$i"]=$!
done
for name in "${names[@]}"; do
    wait_for served "$name" || fail "$name does not serve"
done
for i in $(seq 1 19); do
    on "${names[$i]}" join "$(contact "${names[$((i / 2))]}")" >/dev/null
done
status() { on "$1" dht status "${@:3}" --json | jq -r "$2"; }
knows() { # on a machine that has no time some answers are missed, and learned much later: it looks again
    [ "$(status "$1" .contacts)" -ge 17 ] || { on "$1" join "$(contact d01)" >/dev/null && false; }
}
for name in "${names[@]}"; do
    wait_for knows "$name" || fail "$name knows $(status "$name" .contacts)"
done

# On a machine that has no time a peer may be silent for longer than it is waited for: it is told the next time.
reaches_all() {
    on "$name" announce "$id" --json >a.json && jq -e '.got == .wanted and .wanted >= 17' a.json >/dev/null
}

# Three packages, each with a provider that will live and one that will not.
ids=()
for i in 1 2 3; do
    mkdir "p$i"
    head -c 20000 /dev/urandom >"p$i/file"
    for name in "${names[$i]}" "${names[$((i + 10))]}"; do
        id=$(on "$name" publish "p$i" --name "p$i" --version 1 --quiet)
        wait_for reaches_all || fail "announced: $(cat a.json)"
    done
    ids+=("$id")
done
holders=0
for name in "${names[@]}"; do
    [ "$(status "$name" .held "${ids[2]}")" -eq 0 ] || holders=$((holders + 1))
done
[ "$holders" -ge "$(jq .got a.json)" ] || fail "$holders hold what $(jq .got a.json) took"

for i in $(seq 11 18); do
    kill -KILL "${daemon[${names[$i]}]}"
done
for i in $(seq 11 18); do
    wait "${daemon[${names[$i]}]}" || true
    unset "daemon[${names[$i]}]"
done
for i in 1 2 3; do
    on d20 find "${ids[$((i - 1))]}" --json >f.json
    jq -e '.took_ms < 5000' f.json >/dev/null || fail "took $(jq .took_ms f.json) ms"
    grep -q "$(jq -r .peer "${names[$i]}.ready")" f.json || fail "the living provider is missing: $(cat f.json)"
    on d01 get "${ids[$((i - 1))]}" -o "got$i" --json >g.json
    same_tree "p$i" "got$i"
done
for name in "${!daemon[@]}"; do
    kill -TERM "${daemon[$name]}"
done
for name in "${!daemon[@]}"; do
    wait "${daemon[$name]}" || fail "$name did not end well"
    unset "daemon[$name]"
done
