/*
 * inih splits lines; what a key means is in config_keys.c. inih hands no line numbers to its handler,
 * but it asks for one line at a time, so the reader below counts them: during a handler call the last line
 * read is the line at hand. The reader also refuses what inih would silently cut: long lines, NUL bytes.
 */
#include "daemon/config_internal.h"

#include "dht/id.h"
#include "os/file.h"

#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GC_RATE_DEFAULT (32 * STOQ_MIB)
#define SCRUB_RATE_DEFAULT (8 * STOQ_MIB) /* about one per cent of a core, a terabyte in 36 h */
#define SCRUB_EVERY_S_DEFAULT ((uint64_t)30 * 86400)

struct parse {
    struct stoq_config *config;
    const char *name;
    struct stoq_span rest;
    int line; /* the last one read */
    bool seen[CONFIG_SETTINGS_MAX];
    bool failed;
    int failed_line;
    char key[128];
    char why[CONFIG_WHY_BYTES];
};

static void refuse(struct parse *p, const char *key, const char *why)
{
    if (p->failed) {
        return;
    }
    p->failed = true;
    p->failed_line = p->line;
    (void)snprintf(p->key, sizeof p->key, "%.100s%s", key, key[0] != '\0' ? ": " : "");
    if (why != p->why) {
        (void)snprintf(p->why, sizeof p->why, "%s", why);
    }
}

static char *next_line(char *out, int cap, void *user)
{
    struct parse *p = user;
    if (p->failed || p->rest.n == 0) {
        return NULL;
    }
    p->line++;
    const uint8_t *end = memchr(p->rest.p, '\n', p->rest.n);
    size_t n = end != NULL ? (size_t)(end - p->rest.p) + 1 : p->rest.n;
    if (n >= (size_t)cap) {
        char why[64];
        (void)snprintf(why, sizeof why, "the line is longer than %d bytes", cap - 2);
        refuse(p, "", why);
        return NULL;
    }
    if (memchr(p->rest.p, '\0', n) != NULL) {
        refuse(p, "", "the line holds a NUL byte");
        return NULL;
    }
    memcpy(out, p->rest.p, n);
    out[n] = '\0';
    p->rest = stoq_span(p->rest.p + n, p->rest.n - n);
    return out;
}

static int on_value(void *user, const char *section, const char *name, const char *value)
{
    struct parse *p = user;
    char key[256];
    if (p->failed) {
        return 1;
    }
    (void)snprintf(key, sizeof key, "%s%s%s", section, section[0] != '\0' ? "." : "", name);
    const struct config_setting *s;
    for (size_t i = 0; (s = config_setting_at(i)) != NULL; i++) {
        if (strcmp(s->key, key) != 0) {
            continue;
        }
        if (p->seen[i] && !s->repeats) {
            refuse(p, key, "is set twice");
        } else if (value[0] == '\0') {
            refuse(p, key, "has no value");
        } else if (!s->set(p->config, value, p->why)) {
            refuse(p, key, p->why);
        }
        p->seen[i] = true;
        return 1;
    }
    refuse(p, key, "no such key");
    return 1;
}

void stoq_config_init(struct stoq_config *c)
{
    memset(c, 0, sizeof *c);
    c->encryption = STOQ_NET_KYBER1024;
    c->congestion = STOQ_NET_CC_AUTO;
    c->api_connections_max = 64;
    c->lan = true;
    c->dht = true;
    c->dht_announce = true;
    c->dht_bits = STOQ_DHT_WORK_DEFAULT;
    c->log_level = STOQ_LOG_INFO;
    c->quota_high_percent = 90;
    c->quota_low_percent = 80;
    c->gc_rate_bytes_per_s = GC_RATE_DEFAULT;
    c->gc_garbage_percent = 30;
    c->scrub_rate_bytes_per_s = SCRUB_RATE_DEFAULT;
    c->scrub_every_s = SCRUB_EVERY_S_DEFAULT;
}

enum stoq_status stoq_config_parse(struct stoq_config *out, const char *name, struct stoq_span text,
                                   struct stoq_error *err)
{
    struct stoq_config *config = malloc(sizeof *config);
    struct parse p = {.config = config, .name = name, .rest = text};
    if (config == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for the configuration");
    }
    stoq_config_init(config);
    int bad_line = ini_parse_stream(next_line, &p, on_value, &p);
    if (bad_line > 0 && (!p.failed || bad_line < p.failed_line)) {
        p.line = bad_line;
        p.failed = false;
        refuse(&p, "", "neither a [section] nor key = value");
    }
    if (p.failed) {
        free(config);
        return stoq_fail_code(err, STOQ_MALFORMED, "ConfigInvalid", "%.200s:%d: %s%s", name,
                              p.failed_line, p.key, p.why);
    }
    *out = *config;
    free(config);
    return STOQ_OK;
}

enum stoq_status stoq_config_load(struct stoq_config *out, const char *path, struct stoq_error *err)
{
    struct stoq_buf text;
    stoq_buf_init(&text, STOQ_CONFIG_BYTES_MAX);
    enum stoq_status st = stoq_file_read(path, STOQ_CONFIG_BYTES_MAX, &text, err);
    if (st == STOQ_OK) {
        st = stoq_config_parse(out, path, stoq_buf_span(&text), err);
    }
    stoq_buf_release(&text);
    return st;
}

const char *stoq_config_template(void)
{
    return "# stoq configuration. Every key is shown with its default; a line that begins with # is a\n"
           "# comment. `stoq help daemon` and docs/CLI.md tell more.\n"
           "\n"
           "# Addresses to serve peers on; may be repeated. None: the daemon serves on [::]:4477.\n"
           "#listen = [::]:4477\n"
           "\n"
           "# Static peers, asked by every get that names no source; may be repeated. Labels tell what\n"
           "# fails together.\n"
           "#peer = peer1...@[2001:db8::1]:4477 host=a1 site=lab rack=3 region=eu\n"
           "# Peers that a daemon dials when it starts; may be repeated.\n"
           "#bootstrap = peer1...@[2001:db8::1]:4477\n"
           "\n"
           "[discovery]\n"
           "# on: tell the local network who serves here, and take neighbours as sources. off: neither.\n"
           "#lan = on\n"
           "# on: once it knows somebody (bootstrap, stoq join), the daemon takes part in the DHT.\n"
           "#dht = on\n"
           "\n"
           "[dht]\n"
           "# Tell the DHT which packages are here whole.\n"
           "#announce = on\n"
           "# Zero bits that a node id must earn; the same in all of a network.\n"
           "#bits = 22\n"
           "\n"
           "[distribute]\n"
           "# Whose offers are kept: those of peers named here (known), all, none.\n"
           "#accept = known\n"
           "\n"
           "[store]\n"
           "# Where packages are kept; default: below the home.\n"
           "#dir = /var/lib/stoq/store\n"
           "# The most its segments may take on disk, as 10GiB; 0: no limit. When they take more than\n"
           "# quota_high of it, garbage goes, then the packages used longest ago that nothing keeps\n"
           "# (stoq pin, root, lease), down to quota_low.\n"
           "#quota = 0\n"
           "#quota_high = 90%\n"
           "#quota_low = 80%\n"
           "# How hard new chunks are packed, 1 to 19, or none: takes time once, saves bytes at every "
           "fetch.\n"
           "#level = 5\n"
           "# The daemon collects garbage when so much of the store is, this many bytes a second; 0: no\n"
           "# limit.\n"
           "#gc_garbage = 30%\n"
           "#gc_rate = 32MiB\n"
           "# The daemon reads all of it again, this many bytes a second, this long after the last time;\n"
           "# 0: no limit, and never.\n"
           "#scrub_rate = 8MiB\n"
           "#scrub_every = 30d\n"
           "\n"
           "[network]\n"
           "# Of a private network: 64 hexadecimal digits, or the file that holds them. Who has not the\n"
           "# same gets no reply at all.\n"
           "#key = /etc/stoq/network.key\n"
           "\n"
           "[transport]\n"
           "# p2p, or client: fetches and serves nobody.\n"
           "#mode = p2p\n"
           "# kyber1024, kyber1024-pure or kyber768-hybrid; peers without a common mode refuse each\n"
           "# other.\n"
           "#encryption = kyber1024\n"
           "# zstd: chunks travel as they are stored; none: unpacked, in both directions.\n"
           "#compression = zstd\n"
           "# auto, cubic or bbr\n"
           "#congestion = auto\n"
           "# on: a peer met before may be asked in a connection's first packets.\n"
           "#early_data = off\n"
           "# off: everything goes over connections and their post-quantum key exchange.\n"
           "#datagrams = on\n"
           "# Connections are closed after so many seconds of silence.\n"
           "#idle_timeout = 30\n"
           "# Largest UDP payload tried, 1200..65000.\n"
           "#packet_bytes_max = 32700\n"
           "\n"
           "[net]\n"
           "# Threads that serve the port, packets and their cryptography, 1..16.\n"
           "#threads = 1\n"
           "\n"
           "[limits]\n"
           "# Connections with peers, and with local clients.\n"
           "#connections = 4096\n"
           "#api_connections = 64\n"
           "# Handshakes of others that are not finished, and streams one peer may have open.\n"
           "#handshakes = 256\n"
           "#streams = 128\n"
           "# Bytes of peers' connections in memory: one peer's, and all of them.\n"
           "#memory_peer = 96MiB\n"
           "#memory = 1GiB\n"
           "# Open files; default: as the daemon was started.\n"
           "#open_files = 1024\n"
           "# Threads that hash, decompress and read, 1..64.\n"
           "#workers = 2\n"
           "\n"
           "[bandwidth]\n"
           "# Caps for chunks sent and taken a second, as in 2MiB or 20Mbit. None: no cap.\n"
           "#up = 2MiB\n"
           "#down = 10MiB\n"
           "# Caps of one class of transfers (interactive, normal, background), repeatable.\n"
           "#class = background up=1MiB down=5MiB\n"
           "# Other caps at a time of day, by the local clock, repeatable.\n"
           "#between = 08:00-18:00 up=512KiB down=2MiB\n"
           "\n"
           "[transfer]\n"
           "# Fetches that run at a time, 1..1024; more wait their turn.\n"
           "#max_concurrent = 64\n"
           "\n"
           "[trust]\n"
           "# MINIMUM_REPUTATION: a peer that sent wrong things and scores below is left (docs/TRUST.md).\n"
           "#minimum_reputation = 0.10\n"
           "# MINIMUM_TRUST_THRESHOLD: from it on a peer is trusted; others have a small budget.\n"
           "#minimum_trust_threshold = 0.30\n"
           "\n"
           "[log]\n"
           "# quiet, info or debug\n"
           "#level = info\n";
}
