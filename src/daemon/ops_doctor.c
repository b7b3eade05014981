/*
 * doctor: looks at what a daemon needs around it, and says of each fault what it is, where, and what to do.
 * A problem keeps something from working; a note is worth knowing. Each look can fail without the others.
 */
#include "daemon/ops_internal.h"

#include "daemon/engine_dht.h"
#include "os/sys.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define CLOCK_LEAST_S ((uint64_t)1767225600) /* 2026: a clock before that was never set */
#define CLOCK_SKEW_S 300u                    /* what the DHT forgives */
#define OPEN_FILES_LEAST 256u
#define DISK_LEAST (64 * STOQ_MIB)
#define DISK_LOW STOQ_GIB
#define PING_TIME (3 * STOQ_SEC)
#define PINGS_MAX 16 /* of the peers that are configured */

struct exam {
    struct stoq_host *host;
    struct stoq_op_io *io;
    struct stoq_config *config;
    json_t *findings;
    unsigned problems;
    bool failed; /* no memory for a finding */
};

struct place {
    const char *check;
    const char *where;
    const char *fix;
};

static void add(struct exam *x, bool is_problem, const struct place *at, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void add(struct exam *x, bool is_problem, const struct place *at, const char *fmt, ...)
{
    char what[600];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s}", "check", at->check, "level",
                          is_problem ? "problem" : "note", "what", what, "where", at->where, "fix",
                          at->fix);
    x->failed = x->failed || o == NULL || json_array_append_new(x->findings, o) != 0;
    x->problems += is_problem;
}

static void look_at_config(struct exam *x)
{
    struct stoq_host_reading reading;
    stoq_host_reading(x->host, &reading);
    if (reading.failed) {
        add(x, true,
            &(struct place){"config", stoq_host_home(x->host)->config_file,
                            "correct that line and send the daemon SIGHUP"},
            "the file was changed and refused, what it said before holds: %s", reading.why);
    }
}

static void look_at_key(struct exam *x)
{
    const char *file = stoq_host_home(x->host)->key_file;
    struct stat info;
    struct stoq_error why;
    if (stat(file, &info) != 0) {
        int code = errno;
        (void)stoq_fail(&why, STOQ_IO, code, "this home has no key");
        add(x, code != ENOENT, &(struct place){"key", file, "stoq init makes one"}, "%.500s",
            why.text);
    } else if ((info.st_mode & 077) != 0) {
        add(x, true, &(struct place){"key", file, "chmod 600 of that file"},
            "others may read the key (mode %o); it is not used like that",
            (unsigned)(info.st_mode & 0777));
    }
}

/* A file of ours that was written later than now. */
static void look_at_age(struct exam *x, const char *file, uint64_t now_s)
{
    struct stat info;
    if (stat(file, &info) == 0 && (uint64_t)info.st_mtime > now_s + CLOCK_SKEW_S) {
        add(x, true,
            &(struct place){"clock", file, "set the clock, by NTP for instance (timedatectl)"},
            "this file is from %llu s ahead of now: the clock is behind, or was ahead when it was "
            "written; records that this home signs are refused elsewhere, and others' here",
            (unsigned long long)((uint64_t)info.st_mtime - now_s));
    }
}

static void look_at_clock(struct exam *x)
{
    const struct stoq_home *home = stoq_host_home(x->host);
    uint64_t now_s = stoq_wall_seconds();
    if (now_s < CLOCK_LEAST_S) {
        add(x, true,
            &(struct place){"clock", "the system clock", "set the clock, by NTP for instance"},
            "it says %llu s since 1970, which is before this program was made",
            (unsigned long long)now_s);
    }
    look_at_age(x, home->key_file, now_s);
    look_at_age(x, home->peers_file, now_s);
    look_at_age(x, home->dht_file, now_s);
}

static void look_at_open_files(struct exam *x)
{
    uint64_t used;
    uint64_t max;
    if (stoq_open_files(&used, &max) == STOQ_OK && max < OPEN_FILES_LEAST) {
        add(x, true,
            &(struct place){
                "limits", "open files (ulimit -n)",
                "raise it: ulimit -n 1024, LimitNOFILE= of the unit, or limits.open_files"},
            "this process may have %llu files open; a daemon needs up to %u",
            (unsigned long long)max, OPEN_FILES_LEAST);
    }
}

/* Of the store's disk, or of where it will be. */
static void look_at_disk(struct exam *x)
{
    const struct stoq_home *home = stoq_host_home(x->host);
    const char *dirs[] = {home->store_dir, home->data_dir};
    struct statvfs fs;
    for (size_t i = 0; i < STOQ_COUNT(dirs); i++) {
        if (statvfs(dirs[i], &fs) != 0) {
            continue;
        }
        uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
        if (room < DISK_LOW) {
            add(x, room < DISK_LEAST,
                &(struct place){"disk", dirs[i],
                                "make room, name another disk (store.dir), or let less be kept "
                                "(store.quota, stoq gc)"},
                "%llu MiB are free there", (unsigned long long)(room / STOQ_MIB));
        }
        return;
    }
}

static void look_at_store(struct exam *x)
{
    struct stoq_error err;
    enum stoq_status st = stoq_host_open(x->host, false, &err);
    if (st != STOQ_OK && st != STOQ_NOTFOUND) {
        add(x, true,
            &(struct place){"store", stoq_host_home(x->host)->store_dir,
                            "stoq fsck says more; stoq store rebuild makes its index anew"},
            "the store or the key cannot be opened: %.400s", err.text);
    }
}

/* Could a daemon listen there? */
static void look_at_port(struct exam *x, const struct stoq_addr *addr)
{
    char text[STOQ_ADDR_TEXT_MAX];
    struct stoq_error why;
    struct place at = {"ports", stoq_addr_format(addr, text),
                       "stop what has it, or name another port (listen)"};
    if (stoq_net_can_listen(addr, &why) == STOQ_OK) {
        return;
    }
    if (why.sys_errno == EADDRNOTAVAIL) {
        at.fix = "name an address of this machine (listen), or [::]";
    } else if (why.sys_errno == EACCES) {
        at.fix = "a port from 1024 on, or the right to bind lower ones";
    } else if (why.sys_errno == EAFNOSUPPORT) {
        at.fix =
            "this system has no IPv6: name an IPv4 address (listen), or [::], which falls back to it";
    }
    add(x, true, &at, "%.500s", why.text);
}

static void note_loopback(struct exam *x, bool all)
{
    if (all) {
        add(x, false,
            &(struct place){"ports", "listen", "listen = [::]:4477, or an address of the network"},
            "the daemon listens on loopback alone: no other machine can reach it");
    }
}

static void look_at_ports(struct exam *x)
{
    const struct stoq_config *c = x->config;
    struct stoq_addr addr = {.port = 4477};
    bool loopback = true;
    if (c->client) {
        return;
    }
    if (stoq_host_is_daemon(x->host)) {
        size_t n = 0;
        for (; stoq_engine_local_addr(stoq_host_engine(x->host), n, &addr); n++) {
            loopback = loopback && stoq_addr_is_loopback(&addr);
        }
        note_loopback(x, n > 0 && loopback);
        return;
    }
    for (size_t i = 0; i < c->listen_count; i++) {
        loopback = loopback && stoq_addr_is_loopback(&c->listen[i]);
        look_at_port(x, &c->listen[i]);
    }
    if (c->listen_count == 0) {
        look_at_port(x, &addr);
    }
    note_loopback(x, c->listen_count > 0 && loopback);
}

static void tell_of_peer(struct exam *x, const struct stoq_fetch_source *peer,
                         const struct stoq_ping_result *result)
{
    char id[STOQ_ID_TEXT_CAP];
    char addr[STOQ_ADDR_TEXT_MAX];
    char where[sizeof id + sizeof addr + 1];
    if (result->status == STOQ_OK) {
        return;
    }
    stoq_peer_id_put(id, &peer->peer);
    (void)snprintf(where, sizeof where, "%s@%s", id, stoq_addr_format(&peer->addr, addr));
    add(x, true,
        &(struct place){
            "peers", where,
            result->status == STOQ_PROOF
                ? "ask who runs it for its peer id (stoq status), and correct the line"
                : "does its daemon run, does a firewall let UDP through there? Else take "
                  "the line out of the configuration"},
        "a peer of the configuration cannot be reached: %.400s", result->err.text);
}

/* Side by side: those that are silent cost PING_TIME together. */
static void ping_peers(struct exam *x)
{
    const struct stoq_config *c = x->config;
    struct stoq_ping_ask asks[PINGS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < c->peer_count + c->bootstrap_count && n < PINGS_MAX; i++) {
        const struct stoq_fetch_source *peer =
            i < c->peer_count ? &c->peers[i] : &c->bootstrap[i - c->peer_count];
        asks[n++] = (struct stoq_ping_ask){
            .to = *peer, .timeout_ns = PING_TIME, .cancelled = op_cancelled, .user = x->io};
    }
    struct stoq_ping_result *results = calloc(PINGS_MAX, sizeof *results);
    if (results == NULL ||
        stoq_engine_ping_all(stoq_host_engine(x->host), asks, n, results) != STOQ_OK) {
        x->failed = true;
        n = 0;
    }
    for (size_t i = 0; i < n && !op_cancelled(x->io); i++) {
        tell_of_peer(x, &asks[i].to, &results[i]);
    }
    free(results);
}

static void look_at_peers(struct exam *x)
{
    const struct stoq_config *c = x->config;
    struct stoq_error err;
    const struct stoq_home *home = stoq_host_home(x->host);
    if (c->peer_count + c->bootstrap_count == 0 || access(home->key_file, F_OK) != 0) {
        return;
    }
    if (stoq_host_start(x->host, &err) != STOQ_OK) {
        add(x, true, &(struct place){"peers", home->data_dir, "see to that first, then ask again"},
            "the peers of the configuration were not asked: %.400s", err.text);
        return;
    }
    ping_peers(x);
}

static void look_at_dht(struct exam *x)
{
    struct stoq_engine_dht_status s;
    if (!stoq_host_is_daemon(x->host)) {
        return;
    }
    stoq_engine_dht_status(stoq_host_engine(x->host), &s);
    if (s.on && s.stats.contacts == 0 && !s.searching) {
        add(x, false,
            &(struct place){"dht", "discovery.dht",
                            "name somebody (bootstrap, stoq join), or switch it off"},
            "the DHT is on, and knows nobody");
    }
}

enum stoq_status op_doctor(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                           json_t **result, struct stoq_error *err)
{
    struct exam x = {
        .host = host, .io = io, .config = malloc(sizeof *x.config), .findings = json_array()};
    (void)args;
    if (x.config == NULL || x.findings == NULL) {
        free(x.config);
        json_decref(x.findings);
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for an examination");
    }
    stoq_host_config(host, x.config);
    look_at_config(&x);
    look_at_key(&x);
    look_at_clock(&x);
    look_at_open_files(&x);
    look_at_disk(&x);
    look_at_ports(&x);
    look_at_peers(
        &x); /* it opens the store for writing, which what was opened to be read cannot be */
    look_at_store(&x);
    look_at_dht(&x);
    free(x.config);
    *result = json_pack("{s:b, s:i, s:o}", "daemon", (int)stoq_host_is_daemon(host), "problems",
                        (int)x.problems, "findings", x.findings);
    if (*result == NULL || x.failed) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for an examination");
    }
    return op_cancelled(io) ? stoq_fail(err, STOQ_CANCELLED, 0, "interrupted") : STOQ_OK;
}
