#!/bin/bash
# An update moves the chunks that changed and little else, whether the old version is a package here or
# only files on this disk (--seed), and the report says how many bytes came from where.
. "$(dirname "$0")/lib.sh"

field() { jq -r ".$1" <<<"$got"; }
check() { # check TEXT CONDITION: over the fields of the last report
    jq -e "$2" <<<"$got" >/dev/null || fail "$1: $(jq -c 'del(.sources)' <<<"$got")"
}

# Version 1: a large file, a program, an archive, many small files. Version 2: two bytes overwritten in the
# large file, one member of the archive and one small file replaced, one file new and one gone.
mkdir -p v1/many v1/bin in
head -c 30000000 /dev/urandom >v1/large
head -c 900000 /dev/urandom >v1/bin/run && chmod 755 v1/bin/run
for i in {1..40}; do
    head -c $((i * 5000)) /dev/urandom >"in/$i"
done
tar -cf v1/archive.tar -C in .
for i in {1..300}; do
    head -c $((i * 20)) /dev/urandom >"v1/many/$i"
done
ln -s many/1 v1/link
cp -a v1 v2
printf XY | dd of=v2/large bs=1 seek=17000000 conv=notrunc status=none
head -c 100000 /dev/urandom >in/20
tar --mtime=2001-01-01 -cf v2/archive.tar -C in .
head -c 2000 /dev/urandom >v2/many/77
head -c 50000 /dev/urandom >v2/added
rm v2/many/200

start A
v1=$(on A publish v1 --name tree --version 1 --quiet)
on A publish v2 --name tree --version 2 --json >published
v2=$(jq -r .id published)
changed=$(jq .bytes_new published)
stored=$(jq .bytes_stored published)
from=(--from "$(contact A)")

# A package that is here. The publisher's own counters are asked, too.
sent() { on A status --json | jq .net.bytes_served; }
on B get "$v1" "${from[@]}" --json >/dev/null
before=$(sent)
got=$(on B get "$v2" "${from[@]}" --json -o B.out)
moved=$(($(sent) - before))
same_tree v2 B.out
check "what changed is fetched" ".bytes_from_peers == $changed and .bytes_had + .bytes_from_peers == .bytes"
check "no seed was named" ".bytes_from_seed == 0"
# 5 % and the longest chunk list for every shard that has changed: the data is random, so one may have 512 chunks. On real
# updates 4 KiB suffice (docs/BENCHMARKS.md). Hello, manifest and shard list are of one size.
check "what travels" ".bytes_wire <= 1.05 * $stored + 18432 * (.shards - .shards_known) + 4096"
check "what the publisher sent" "$moved <= 1.05 * $stored + 18432 * (.shards - .shards_known) + 4096"

# Files that are no package, neither version known here: profile unknown, two passes. Now and then the other profile has cut
# the old files just where a chunk of the new ones begins and ends (4 of 180 times), so it may be less; never less than what
# is new in the files.
got=$(on C get "$v2" "${from[@]}" --seed v1 --json -o C.out)
same_tree v2 C.out
check "what the seed has is not fetched" \
    ".bytes_from_seed == .bytes - .bytes_from_peers and .bytes_had == 0 and
     .bytes_from_peers <= $changed and .bytes_from_peers >= 152000"
check "what is new in the store" ".bytes_new == .bytes"
on C verify "$v2" --quiet
on C ls --json | jq -e '.packages | length == 1' >/dev/null || fail "the seed has become a package"
said=$(on C get "$v1" "${from[@]}" --seed v1 2>&1 >/dev/null)
[[ $said == *"from the seed"* ]] || fail "the line for people does not tell of the seed: $said"

# The same for a package of the other profile, and for one whose manifest was here.
other=$(on A publish v2 --name tree --version 2 --profile 1 --quiet)
got=$(on D get "$other" "${from[@]}" --seed v1 --json)
check "profile 1: most of it is in the seed" ".bytes_from_seed > 0.9 * .bytes and .bytes_from_seed + .bytes_from_peers == .bytes"

# The very tree as seed: nothing is left to fetch but the metadata. Through a daemon, and relative.
start E
got=$(cd v2 && on E get "$v2" "${from[@]}" --seed . --json)
check "all of it is in the seed" ".bytes_from_seed == .bytes and .bytes_from_peers == 0 and .bytes_wire < 65536"
check "it was not here before" '.complete_before == false'
on E verify "$v2" --quiet
stop E

# A single file; a member of the seed that nobody may read; files that are not what they were.
one=$(on A publish v2/large --name one --version 2 --quiet)
got=$(on F get "$one" "${from[@]}" --seed v1/large --json -o F.out)
cmp F.out/large v2/large
check "one file" ".bytes_from_peers < 300000 and .bytes_from_seed > 29000000"
mkdir odd && cp v1/large odd/ && mkfifo odd/pipe
exits 1 on G get "$one" "${from[@]}" --seed odd
says "the seed: "
exits 3 on G get "$one" "${from[@]}" --seed nosuch
says "the seed: "
exits 2 on G get "$one" "${from[@]}" --seed /dev/null
says "the seed: "
exits 2 on G get "$one" "${from[@]}" --seed ''

# A package that is complete here does not look at the seed.
got=$(on B get "$v2" "${from[@]}" --seed nosuch --json)
check "complete before" '.complete_before and .bytes_from_seed == 0 and .bytes_had == .bytes'
