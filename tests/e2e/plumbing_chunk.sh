#!/bin/bash
# `stoq chunk` cuts like the independent encoder of tests/vectors, however the bytes arrive, shows a
# package's forced cuts with --profile (2: at the members of archives that tar made, where Python's
# tarfile says they are), and refuses parameters out of range with the range.
. "$(dirname "$0")/lib.sh"

model() { # model PYTHON-EXPRESSION: with m and t the encoder, d the bytes of ./data
    PYTHONPATH=$STOQ_SRC/tests/vectors PYTHONDONTWRITEBYTECODE=1 python3 -c "
import encoder.chunks as m, encoder.tables as t, encoder.tars as a
d = open('data', 'rb').read()
print(*($1), sep='\n')"
}

head -c 700000 /dev/urandom >data
for level in 0 1 2 3; do
    how=(--min 4096 --avg 16384 --max 65535 --norm "$level")
    model "m.chunk_run(d, 0, len(d), (4096, 16384, 65535, $level))" >want
    "$STOQ" chunk "${how[@]}" data >out
    cmp want out || fail "level $level: not the model's cuts"
    "$STOQ" chunk "${how[@]}" --json data | jq -r '.lengths[]' >out
    cmp want out || fail "level $level: --json differs"
    for size in 1 7777 65535 1000003; do
        [ $size != 1 ] || head -c 50000 data >small
        input=data && [ $size != 1 ] || input=small
        "$STOQ" chunk "${how[@]}" $input >whole
        dd if=$input bs=$size status=none | "$STOQ" chunk "${how[@]}" - >out
        cmp whole out || fail "level $level: reads of $size bytes change the cuts"
    done
done

model "m.chunk_run(d, 0, len(d), m.PROFILE_1)" >want
"$STOQ" chunk data >out
cmp want out || fail "the sizes of profile 1 are not the default"

# Far more than any buffer: same cuts from a file and from a pipe in odd pieces.
head -c 40000000 /dev/urandom >large
"$STOQ" chunk --max 1048576 large >want
dd if=large bs=123457 status=none | "$STOQ" chunk --max 1048576 - >out
cmp want out || fail "40 MB: the pipe's cuts differ"
[ "$(awk '{n += $1} END {print n}' out)" = 40000000 ] || fail "40 MB: the lengths do not add up"

# A package of one file: the table is a run of its own, whatever the file's size.
for size in 0 1 16383 16384 700000; do
    head -c "$size" data >"file $size"
    model "m.chunk_package((x := t.table_of([(b'file $size', 0, $size)])) + d[:$size], len(x), [$size])" >want
    "$STOQ" chunk --profile 1 "./file $size" >out
    cmp want out || fail "--profile 1 of $size bytes: not the model's cuts"
done
chmod u+x "file 1"
model "m.chunk_package((x := t.table_of([(b'file 1', 1, 1)])) + d[:1], len(x), [1])" >want
"$STOQ" chunk --profile 1 "file 1" >out
cmp want out || fail "--profile 1 of a program"

# A directory: small files share a run, whatever stands between them in the table; links have no bytes.
mkdir -p tree/a/b tree/z
for spec in a/1:9000 a/b/2:8000 a/3:0 a/4:16384 a/5:16383 a/6:300000 b:40000 z/1:12000 z/2:12000; do
    head -c "${spec#*:}" data >"tree/${spec%:*}"
done
ln -s nowhere tree/a/2link
chmod u+x tree/a/5
cat tree/a/1 tree/a/3 tree/a/4 tree/a/5 tree/a/6 tree/a/b/2 tree/b tree/z/1 tree/z/2 >contents
mv data data.all && cp contents data
model "m.chunk_package((x := t.table_of([
    (b'a', 2, 0), (b'a/1', 0, 9000), (b'a/2link', 3, b'nowhere'), (b'a/3', 0, 0), (b'a/4', 0, 16384), (b'a/5', 1, 16383),
    (b'a/6', 0, 300000), (b'a/b', 2, 0), (b'a/b/2', 0, 8000), (b'b', 0, 40000), (b'z', 2, 0), (b'z/1', 0, 12000),
    (b'z/2', 0, 12000)])) + d, len(x), [9000, 0, 16384, 16383, 300000, 8000, 40000, 12000, 12000])" >want
mv data.all data
"$STOQ" chunk --profile 1 tree >out
cmp want out || fail "--profile 1 of a directory: not the model's cuts"
mkdir none
[ "$("$STOQ" chunk --profile 1 --json none)" = '{"lengths":[]}' ] || fail "an empty directory has chunks"

# A table of more than a longest chunk.
mkdir many && (cd many && seq -f '%05.0f-a-name-of-some-length-to-fill-the-table' 9000 | xargs touch)
mv data data.all && : >data
model "m.chunk_package((x := t.table_of([(b'%05d-a-name-of-some-length-to-fill-the-table' % i, 0, 0)
    for i in range(1, 9001)])), len(x), [0] * 9000)" >want
mv data.all data
"$STOQ" chunk --profile 1 many >out
cmp want out || fail "--profile 1 of many names: not the model's cuts"

# Profile 2: archives in every format that tar writes, their large members and what lies between.
head -c 3000000 /dev/urandom >many.bytes
mkdir -p archive/in
for size in 0 1 8191 8192 8193 12288 40000 511 700000 200 300; do
    head -c "$size" data >"archive/in/of-$size"
done
ln archive/in/of-8193 archive/in/z-hard
ln -s of-1 archive/in/soft
long=archive/$(printf 'long%.0s' {1..60})/$(printf 'name%.0s' {1..30})
mkdir -p "${long%/*}" && head -c 33333 data >"$long"
cuts() { # cuts ARCHIVE: the independent scanner agrees with tarfile about the large members; its cuts
    PYTHONPATH=$STOQ_SRC/tests/vectors PYTHONDONTWRITEBYTECODE=1 python3 -c "
import sys, tarfile, encoder.tars as a, encoder.tables as t
d = open('$1', 'rb').read()
want = []
for x in tarfile.open('$1') if '${2-}' else []:
    if x.isreg() and x.size >= 8192:
        want += [x.offset_data, x.offset_data + x.size]
assert a.tar_cuts(d, 8192) == want, (a.tar_cuts(d, 8192), want)
table = t.table_of([(b'$1', 0, len(d))])
print(*a.chunk_package_2(len(table), [d], table + d), sep='\n')"
}
for format in gnu oldgnu pax posix ustar v7; do
    tar --format=$format -cf $format.tar -C archive . 2>tar.err || grep -q 'too long\|cannot be' tar.err || fail "tar: $(cat tar.err)"
    members=yes && [ $format != v7 ] || members=
    cuts $format.tar $members >want
    "$STOQ" chunk --profile 2 $format.tar >out
    cmp want out || fail "--profile 2 of a $format archive: not the model's cuts"
done
[ "$("$STOQ" chunk --profile 2 gnu.tar | grep -cx 8192)" -ge 1 ] || fail "a member of 8192 bytes is no chunk of its own"
# A member larger than any buffer, behind many small ones; and the archive cut short inside it.
mkdir wide && (cd wide && seq -f %04.0f 3000 | xargs touch && mv ../many.bytes z)
tar --format=pax -cf wide.tar -C wide .
cuts wide.tar yes >want
"$STOQ" chunk --profile 2 wide.tar >out
cmp want out || fail "--profile 2 of a large archive: not the model's cuts"
mkdir both && head -c 3500000 wide.tar >both/cut.tar && cp gnu.tar both/whole.tar && cp archive/in/of-700000 both/plain
PYTHONPATH=$STOQ_SRC/tests/vectors PYTHONDONTWRITEBYTECODE=1 python3 -c "
import os, encoder.tars as a, encoder.tables as t
files = [open('both/' + n, 'rb').read() for n in ('cut.tar', 'plain', 'whole.tar')]
table = t.table_of([(n, 0, len(d)) for n, d in zip((b'cut.tar', b'plain', b'whole.tar'), files)])
print(*a.chunk_package_2(len(table), files, table + b''.join(files)), sep='\n')" >want
"$STOQ" chunk --profile 2 both >out
cmp want out || fail "--profile 2 of a directory: not the model's cuts"

: >empty
[ -z "$("$STOQ" chunk empty)" ] || fail "an empty input has a chunk"
[ "$("$STOQ" chunk --json empty)" = '{"lengths":[]}' ] || fail "an empty input in JSON"

refused() { # refused RANGE OPTION...
    local range=$1
    shift
    exits 2 "$STOQ" chunk "$@" data
    says "$range"
}
refused 64..1048576 --min 63
refused 64..1048576 --min 1048577
refused 256..4194304 --min 64 --avg 255
refused 16384..4194304 --avg 16383
refused 1024..16777216 --min 64 --avg 256 --max 1023
refused 65536..16777216 --max 65535
refused 65536..16777216 --max 99999999999999999999
refused 0..3 --norm 4
refused profile --profile 0
refused profile --profile 3
refused profile --profile 1 --min 64
refused profile --profile 2 --max 4096
exits 2 "$STOQ" chunk --min x data
exits 2 "$STOQ" chunk --profile 1 -
exits 3 "$STOQ" chunk nosuchfile
