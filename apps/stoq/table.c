#include "cmd_alias.h"
#include "commands.h"

#include <string.h>

#define OPTIONS(a) .options = (a), .option_count = STOQ_COUNT(a)

static const struct cmd_option daemon_options[] = {
    {"listen", 0, "ADDR", "serve peers here, [::1]:0 for any port", true},
    {"ready-file", 0, "FILE", "write peer id, addresses and pid to FILE once it serves", false},
};
static const struct cmd_option publish_options[] = {
    {"name", 0, "NAME", "package name: a-z 0-9 + . _ -", false},
    {"version", 0, "VERSION", "package version", false},
    {"description", 0, "TEXT", "what it is", false},
    {"license", 0, "TEXT", "its license", false},
    {"annotation", 0, "KEY=VALUE", "anything else worth keeping with it", true},
    {"depends", 0, "NAME[@REQ][#ID]", "a package it needs", true},
    {"alias", 0, "ALG,...", "make its files findable by b3sum, sha256, sha512, sha3-256", true},
    {"entry", 0, "FILENAME", "with -: what the package's one file is called [NAME]", false},
    {"newest", 0, NULL, "it is the newest release of its name, whatever its version", false},
    {"in-place", 0, NULL, "refer to the files where they are, store no second copy", false},
    {"no-sign", 0, NULL, "leave it unsigned", false},
    {"private", 0, NULL, "cut it by this home's private key: lengths of chunks tell nothing",
     false},
    {"private-key", 0, "FILE", "the same with the key in FILE", false},
    {"secondary", 0, "ALG", "keep sha256, sha512 or sha3-256 of all of it in the manifest", false},
    {"strict", 0, NULL, "refuse names that differ only in upper and lower case", false},
    {"profile", 0, "CODE", "how the content is cut, 1 or 2 [2]", false},
    {"threads", 0, "N", "threads that hash and store, 1..64", false},
    {"read-bytes", 0, "N", "bytes of one read, 1..16777216", false},
};
static const struct cmd_option get_options[] = {
    {"output", 'o', "DIR", "then write its tree to DIR; - writes its only file to stdout", false},
    {"from", 0, "PEER@ADDR",
     "a source; without any, the configuration's peers and the local network", true},
    {"seed", 0, "PATH", "files here, an older version say, that may hold some of it", false},
    {"no-sync", 0, NULL, "with -o DIR: leave it to the kernel when DIR reaches the disk", false},
    {"range", 0, "A-B", "with -o -: only these bytes of the file, from 0; A- or -N too", false},
    {"priority", 0, "CLASS", "interactive, normal or background [normal; interactive with -o -]",
     false},
    {"strategy", 0, "HOW", "fastest-first, rarest or sequential [rarest; sequential with -o -]",
     false},
    {"timeout", 0, "SECONDS", "give up after this time", false},
    ALIAS_OPTIONS,
};
static const struct cmd_option find_options[] = {
    ALIAS_OPTIONS,
    {"trace", 0, NULL, "show every step of the lookup for providers", false},
};
static const struct cmd_option info_options[] = {
    {"files", 0, NULL, "list its files too", false},
};
static const struct cmd_option cat_options[] = {
    {"range", 0, "A-B", "only these bytes, counted from 0; A- to the end, -N the last N", false},
    {"from", 0, "PEER@ADDR", "a source for what is not here; else the configuration's peers", true},
    {"timeout", 0, "SECONDS", "give up after this time", false},
    ALIAS_OPTIONS,
};
static const struct cmd_option verify_options[] = {
    {"signed", 0, NULL, "demand a valid signature", false},
};
static const struct cmd_option store_options[] = {
    {"hash", 0, "ALG", "put: what addresses it, blake3 or sha3-256 [blake3]", false},
    {"secondary", 0, "ALG[=HEX]", "put: keep and always check this digest too; it must be HEX",
     true},
    {"expect", 0, "ADDR", "put: refuse it when this is not its address", false},
    {"threads", 0, "N", "put: threads that hash and store, 1..64", false},
    {"output", 'o', "FILE", "get: write it there, all or nothing [standard output]", false},
};
static const struct cmd_option export_options[] = {
    {"output", 'o', "FILE", "write the bundle there, all or nothing; - is standard output", false},
    {"have", 0, "FILE|ID", "leave out what the receiver has: its have-list, or a package", true},
};
static const struct cmd_option import_options[] = {
    {"list", 0, NULL, "only show what is in it", false},
};
static const struct cmd_option have_options[] = {
    {"output", 'o', "FILE", "write the list there; - is standard output [-]", false},
};
static const struct cmd_option gc_options[] = {
    {"dry-run", 0, NULL, "only tell what would go", false},
    {"rate", 0, "BYTES", "read and write at most this much a second: 500K, 50M, 1G", false},
    {"grace", 0, "TIME", "leave what is younger, for a fetch to go on with [1d]", false},
};
static const struct cmd_option lease_options[] = {
    {"for", 0, "TIME", "how long from now: 90s, 30m, 2h, 7d or 4w", false},
    {"end", 0, NULL, "end it now", false},
};
static const struct cmd_option peers_options[] = {
    {"topology", 0, NULL, "where each is and how far, the nearest first", false},
    {"why", 0, "PEER", "what it did to us, and what that comes to", false},
    {"forgive", 0, "PEER", "forget what it did", false},
    {"select", 0, "HOW", "replication:N, geographic:REGION, bandwidth:RATE or custom:FILE", false},
};
static const struct cmd_option distribute_options[] = {
    {"replicas", 0, "N", "copies in different failure domains, 1..64 [3]", false},
    {"strategy", 0, "NAME", "parallel-redundant: all of them at once [parallel-redundant]", false},
    {"select", 0, "HOW",
     "replication, geographic:REGION, bandwidth:RATE or custom:FILE [replication]", false},
    {"keep", 0, "TIME", "ask them to keep it so long: 90s, 30m, 2h, 7d or 4w", false},
};
static const struct cmd_option track_options[] = {
    {"follow", 0, NULL, "wait until no placement of it runs", false},
};
static const struct cmd_option limit_options[] = {
    {"up", 0, "RATE", "send chunks no faster, as in 2MiB or 20Mbit a second; none: no cap", false},
    {"down", 0, "RATE", "take chunks no faster", false},
    {"peer", 0, "PEER", "these caps are of one peer", false},
    {"class", 0, "CLASS", "these caps are of interactive, normal or background transfers", false},
    {"between", 0, "HH:MM-HH:MM", "these caps hold at that time of day, in place of the others",
     false},
    {"remove", 0, NULL, "with --between: those of that time hold no longer", false},
};
static const struct cmd_option rule_options[] = {
    {"candidates", 0, "FILE", "peers as `stoq peers --json` prints them [the daemon's]", false},
};
static const struct cmd_option dht_options[] = {
    {"trace", 0, NULL, "show every step of a lookup", false},
};
static const struct cmd_option ping_options[] = {
    {"datagram", 0, NULL, "in one sealed datagram, without a connection", false},
    {"timeout", 0, "SECONDS", "give up after this time [5]", false},
};
static const struct cmd_option prove_options[] = {
    {"chunk", 0, "I", "prove this chunk, counted from 0", false},
    {"chunks", 0, "A-B", "prove this run of chunks, both in it", false},
    {"shard", 0, "K", "prove all chunks of this shard", false},
    {"path", 0, "PATH", "prove the chunks that this file's bytes are in", false},
    {"range", 0, "A-B", "only these bytes of it; without --path, of the package's stream", false},
    {"table", 0, NULL, "prove the file table: which files there are, and where", false},
    {"data", 0, NULL, "put the chunks' bytes into the proof file", false},
    {"output", 'o', "FILE", "write the proof there; - is standard output", false},
};
static const struct cmd_option scrub_options[] = {
    {"once", 0, NULL, "from the first byte on, whatever an earlier one has read", false},
    {"rate", 0, "BYTES", "read at most this much a second: 8M, 500K; 0: no limit [0]", false},
    {"from", 0, "PEER@ADDR", "who may have what is damaged, besides those the node knows", true},
    {"status", 0, NULL, "only tell how far the scrubbing is", false},
};
static const struct cmd_option stop_options[] = {
    {"timeout", 0, "SECONDS", "wait this long for its end [10]", false},
};

static const struct cmd_row rows[] = {
    {.name = "init",
     .synopsis = "",
     .summary = "make a home: key, configuration, store",
     .details =
         "Prints the peer id. What is there already stays as it is. Publish, get and daemon do\n"
         "the same where there is no home yet.",
     .run = cmd_init},
    {.name = "daemon",
     .synopsis = "",
     .summary = "serve packages to peers and answer the other commands",
     .details =
         "Runs in the foreground and logs to stderr. TERM or INT ends it within 5 s, a second one\n"
         "at once; HUP reads the configuration again. Without --listen the configuration's\n"
         "addresses hold, or [::]:4477.",
     OPTIONS(daemon_options),
     .run = cmd_daemon},
    {.name = "publish",
     .synopsis = "PATH|- --name NAME --version VERSION",
     .summary = "make a package of a file or directory and print its id",
     .details =
         "The same files and texts give the same id on every machine. PATH - is one file from\n"
         "standard input: its id is that of publishing a file called FILENAME with these bytes.\n"
         "Of a pipe only its end is seen, not whether its writer succeeded: use pipefail.",
     OPTIONS(publish_options),
     .args_min = 1,
     .args_max = 1,
     .run = cmd_publish},
    {.name = "get",
     .synopsis = "ID|KEY/NAME[@VERSION] | --sha256 HEX",
     .summary = "fetch a package into the store, verified, and write its tree",
     .details =
         "Chunks that are here already are not fetched. What was fetched before a failure stays,\n"
         "so a second get goes on from there. A seed need not be published: it is cut and hashed\n"
         "first, and what the package shares with it is not fetched.\n"
         "KEY/NAME is the newest release of that name by the publisher with this key, or\n"
         "with @VERSION that version's: looked for with peers, neighbours and in the DHT.\n"
         "With a digest instead of an id: one file of a package that is here, published with\n"
         "--alias, checked against the digest (exit code 4).",
     OPTIONS(get_options),
     .args_max = 1,
     .run = cmd_get},
    {.name = "alias",
     .synopsis = "ID ALG,...",
     .summary = "make a package's files findable by their digests",
     .details =
         "ALG is b3sum, sha256, sha512 or sha3-256. For packages that were fetched, or published\n"
         "without --alias: reads all of it.",
     .args_min = 2,
     .args_max = 2,
     .run = cmd_alias},
    {.name = "find",
     .synopsis = "ID|KEY/NAME[@VERSION] | --sha256 HEX",
     .summary = "tell who provides a package, or which packages have a file with this digest",
     .details =
         "Providers are asked of the DHT, with --trace step by step. A release by name is told\n"
         "with the package that its publisher says it is. Files are known by the digests that\n"
         "publish --alias or alias was asked for.",
     OPTIONS(find_options),
     .args_max = 1,
     .run = cmd_find},
    {.name = "ls", .synopsis = "", .summary = "list the packages of the store", .run = cmd_ls},
    {.name = "info",
     .synopsis = "ID",
     .summary = "show what a package is",
     OPTIONS(info_options),
     .args_min = 1,
     .args_max = 1,
     .run = cmd_info},
    {.name = "cat",
     .synopsis = "ID PATH | --sha256 HEX",
     .summary = "write one file of a package to stdout, verified",
     .details =
         "What is not here is brought from peers while it is written: no more than the file, or the\n"
         "range, needs. It stays in the store; a get brings the rest.",
     OPTIONS(cat_options),
     .args_max = 2,
     .run = cmd_cat,
     .raw_output = true},
    {.name = "verify",
     .synopsis = "ID",
     .summary = "read a package again and check all of it against its id",
     .details = "Exit code 4 when it is damaged or incomplete.",
     OPTIONS(verify_options),
     .args_min = 1,
     .args_max = 1,
     .run = cmd_verify},
    {.name = "rm",
     .synopsis = "ID",
     .summary = "remove a package and the chunks no other one uses",
     .args_min = 1,
     .args_max = 1,
     .run = cmd_rm},
    {.name = "pin",
     .synopsis = "ID|ADDR",
     .summary = "keep a package or content until it is unpinned",
     .details = "gc and the quota leave it alone, and rm refuses it.",
     .args_min = 1,
     .args_max = 1,
     .run = cmd_pin},
    {.name = "unpin",
     .synopsis = "ID|ADDR",
     .summary = "take a pin away",
     .args_min = 1,
     .args_max = 1,
     .run = cmd_unpin},
    {.name = "pins", .synopsis = "", .summary = "list the pins", .run = cmd_pins},
    {.name = "root",
     .synopsis = "set NAME ID|ADDR | rm NAME | ls",
     .summary = "keep what a name of your own stands for",
     .details =
         "set  gives the name another meaning; what it stood for before is no longer kept by it.\n"
         "rm   ends it.\n"
         "ls   lists all of them.\n"
         "A name has 1 to 64 letters, digits and + . _ / -, beginning with a letter or digit.",
     .args_min = 1,
     .args_max = 3,
     .run = cmd_root},
    {.name = "lease",
     .synopsis = "ID|ADDR --for TIME | ID|ADDR --end",
     .summary = "keep a package or content for a time",
     .details = "A lease of something leased already extends it, never shortens it; --end ends it.",
     OPTIONS(lease_options),
     .args_min = 1,
     .args_max = 1,
     .run = cmd_lease},
    {.name = "leases", .synopsis = "", .summary = "list the leases", .run = cmd_leases},
    {.name = "gc",
     .synopsis = "",
     .summary = "give back the space of what nothing refers to",
     .details =
         "Deletes what is left of fetches and publishes that never ended, once it is older than\n"
         "the grace, and rewrites segments that hold much that was removed or replaced. Packages\n"
         "stay until they are removed. Holds up nobody who reads or adds.",
     OPTIONS(gc_options),
     .run = cmd_gc},
    {.name = "fsck",
     .synopsis = "",
     .summary = "read all of the store and say what is damaged",
     .details =
         "Every record by its checksum, every chunk by its hash, everything the index\n"
         "promises. Exit code 4 when something needed is damaged; what cannot be read is not\n"
         "offered any more, and a get or a scrub fetches it again. Damage where nothing needed\n"
         "lies is told, and harmless.",
     .run = cmd_fsck},
    {.name = "scrub",
     .synopsis = "",
     .summary = "read the store again, and fetch anew what is damaged",
     .details =
         "Goes on with the pass under way, or begins one. What is damaged is put aside and fetched\n"
         "from a peer that has it: one of --from, of the configuration, or one connected to the\n"
         "daemon. Exit code 4 while something is missing; it is named, and the rest is served on.\n"
         "The daemon does the same by itself (store.scrub_rate, store.scrub_every).",
     OPTIONS(scrub_options),
     .run = cmd_scrub},
    {.name = "store",
     .synopsis = "put FILE|- | get ADDR | verify ADDR | rm ADDR | ls | stats | rebuild",
     .summary = "keep any bytes under an address that is a digest of them",
     .details =
         "put     reads FILE, or - for standard input, once and prints its address, data1...\n"
         "        What is here already, in a package too, is not stored again.\n"
         "get     writes the content, every byte checked; exit code 4 when it is not that content.\n"
         "verify  reads it again and checks it against its address and all secondary digests.\n"
         "rm      removes it and the chunks nothing else uses.\n"
         "ls      lists the addresses.\n"
         "stats   tells what is stored, and what sharing and compression saved and why.\n"
         "rebuild makes the index anew from the segments alone; no daemon may be running.",
     OPTIONS(store_options),
     .args_min = 1,
     .args_max = 2,
     .run = cmd_store},
    {.name = "export",
     .synopsis = "ID... -o FILE|-",
     .summary = "write packages into one self-verifying file",
     .details =
         "The bundle holds manifests, signatures, lists and chunks; nothing else is needed to\n"
         "import it. --have leaves out what the receiver has: the file that 'stoq have' wrote on\n"
         "its side, or the id of a package it holds, an older version, say.",
     OPTIONS(export_options),
     .args_min = 1,
     .args_max = -1,
     .run = cmd_export},
    {.name = "import",
     .synopsis = "FILE|-",
     .summary = "take the packages of a bundle into the store, verified",
     .details =
         "No network is needed. What came before a failure stays: the same import again goes on\n"
         "from there. Exit code 4 when the bundle is damaged, 3 when it leaves out chunks that\n"
         "are not here.",
     OPTIONS(import_options),
     .args_min = 1,
     .args_max = 1,
     .run = cmd_import},
    {.name = "have",
     .synopsis = "",
     .summary = "write what this store has, for export --have elsewhere",
     .details = "16 bytes per chunk and 32 per shard.",
     OPTIONS(have_options),
     .run = cmd_have},
    {.name = "ping",
     .synopsis = "PEER@ADDR",
     .summary = "ask a peer whether it is there",
     .details =
         "Over a connection: makes one where there is none, checks the peer's key, times a Ping.\n"
         "With --datagram in one round trip without a connection, sealed to a key that the peer\n"
         "has signed: learned over a connection the first time, and remembered.",
     OPTIONS(ping_options),
     .args_min = 1,
     .args_max = 1,
     .run = cmd_ping},
    {.name = "doctor",
     .synopsis = "",
     .summary = "look for what keeps a daemon from working, and say what to do",
     .details =
         "Looks at the configuration, the key, the clock, ports, limits, the disk, the store, and\n"
         "asks the peers of the configuration whether they are there. Exit code 1: there are\n"
         "problems. Notes are worth knowing and no problems.",
     .run = cmd_doctor},
    {.name = "announce",
     .synopsis = "ID",
     .summary = "tell the DHT that this daemon provides a package",
     .details =
         "Waits until the nodes nearest to its key have the record, and tells how many do. The daemon\n"
         "renews it by itself. With dht.announce on, publish and get do this for what is here.",
     .args_min = 1,
     .args_max = 1,
     .run = cmd_announce},
    {.name = "join",
     .synopsis = "PEER@ADDR",
     .summary = "take part in the DHT that this peer is in",
     .args_min = 1,
     .args_max = 1,
     .run = cmd_join},
    {.name = "dht",
     .synopsis = "status [ID] | table | lookup KEY|ID [--trace]",
     .summary = "look into the DHT: its state here, its contacts, the nodes nearest to a key",
     .details = "KEY is 64 hexadecimal digits; of a package it is its lookup key.",
     OPTIONS(dht_options),
     .args_min = 1,
     .args_max = 2,
     .run = cmd_dht},
    {.name = "prove",
     .synopsis = "ID --chunk I|--chunks A-B|--shard K|--path PATH|--range A-B|--table -o FILE",
     .summary = "write a proof that bytes belong to a package and where they stand in it",
     .details =
         "The file stands alone: 'stoq check-proof', or anybody else's program, checks it with the\n"
         "package id and nothing else.",
     OPTIONS(prove_options),
     .args_min = 1,
     .args_max = 1,
     .run = cmd_prove},
    {.name = "peers",
     .synopsis = "",
     .summary = "list the daemon's connections, or choose among the peers it knows",
     .details =
         "--select shows who would be chosen and for each of the others why not:\n"
         "replication:3 for three in different failure domains, geographic:eu for those of a\n"
         "region, bandwidth:2MiB for those measured at that rate or more, custom:FILE by a rule.",
     OPTIONS(peers_options),
     .run = cmd_peers},
    {.name = "distribute",
     .synopsis = "ID",
     .summary = "place a package with peers in different failure domains, and see it verified",
     .details =
         "Each peer pulls the package, makes it durable, reads it again from its disk and signs a\n"
         "receipt; one that fails is replaced. Ends well only when all are verified. --select says\n"
         "who may be asked, and in which order; see 'stoq peers --select'.",
     OPTIONS(distribute_options),
     .args_min = 1,
     .args_max = 1,
     .run = cmd_distribute},
    {.name = "track",
     .synopsis = "ID",
     .summary = "show who keeps a package: placements that run, and receipts, checked",
     OPTIONS(track_options),
     .args_min = 1,
     .args_max = 1,
     .run = cmd_track},
    {.name = "transfers",
     .synopsis = "",
     .summary = "list the daemon's fetches, those that run and the last that ended",
     .details =
         "Of each its sources and its last 64 requests, and the last 256 requests of others that\n"
         "were answered (--json). It is known after a restart too.",
     .run = cmd_transfers},
    {.name = "why",
     .synopsis = "ID",
     .summary =
         "explain a slow or failed fetch: who was asked, what each answered, where time went",
     .details = "Of the daemon's last fetch of the package; it remembers 64 fetches.",
     .args_min = 1,
     .args_max = 1,
     .run = cmd_why},
    {.name = "limit",
     .synopsis = "",
     .summary = "cap the daemon's bandwidth, and show who has what of it",
     .details =
         "Holds from now until the daemon ends; the configuration's bandwidth.up and\n"
         "bandwidth.down hold from its start. Below a cap peers have fair shares, and what one\n"
         "leaves the others take. Beside what is waited for, background keeps a twentieth.",
     OPTIONS(limit_options),
     .run = cmd_limit},
    {.name = "rule",
     .synopsis = "try FILE",
     .summary = "show which peers a rule keeps, which it drops, and why",
     .details =
         "Rules are what `custom` choices take; docs/RULES.md defines them. For each peer: the\n"
         "verdict, and for those not kept the clause that decided and the values it saw.",
     OPTIONS(rule_options),
     .args_min = 2,
     .args_max = 2,
     .run = cmd_rule},
    {.name = "status", .synopsis = "", .summary = "show the daemon's figures", .run = cmd_status},
    {.name = "stop",
     .synopsis = "",
     .summary = "end the daemon and wait until it has ended",
     OPTIONS(stop_options),
     .run = cmd_stop},
    {.name = "key",
     .synopsis = "[show|export|private]",
     .summary = "show this home's peer id and public key",
     .details =
         "export prints the public key as PEM. private shows the mark and the file of the key of\n"
         "private packages (publish --private), which it makes where there is none. Machines that\n"
         "shall give equal ids to private packages need the same file, at the place it shows.",
     .args_max = 1,
     .run = cmd_key},
    {.name = "help",
     .synopsis = "[COMMAND]",
     .summary = "show what a command does and takes",
     .args_max = 1,
     .run = cmd_help},
    {.name = "version",
     .synopsis = "",
     .summary = "show version, protocol and features",
     .run = cmd_version},
};

const struct cmd_row *cmd_row_at(size_t i)
{
    return i < STOQ_COUNT(rows) ? &rows[i] : cmd_plumbing_row_at(i - STOQ_COUNT(rows));
}

const struct cmd_row *cmd_row_find(const char *name)
{
    const struct cmd_row *row = NULL;
    for (size_t i = 0; (row = cmd_row_at(i)) != NULL; i++) {
        if (strcmp(row->name, name) == 0) {
            break;
        }
    }
    return row;
}
