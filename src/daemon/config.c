/*
 * inih splits lines; everything else is a table of keys here. inih hands no line numbers to its handler,
 * but it asks for one line at a time, so the reader below counts them: during a handler call the last line
 * read is the line at hand. The reader also refuses what inih would silently cut: long lines, NUL bytes.
 */
#include "daemon/config.h"

#include "daemon/source.h"
#include "os/file.h"

#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PORT_DEFAULT = 4477, WHY_BYTES = 300 };

struct setting {
    const char *key;
    bool repeats;
    bool (*set)(struct stoq_config *c, const char *value, char why[WHY_BYTES]);
};

static bool no(char why[WHY_BYTES], const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool no(char why[WHY_BYTES], const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, WHY_BYTES, fmt, ap);
    va_end(ap);
    return false;
}

static bool number(const char *value, uint64_t min, uint64_t max, uint64_t *out,
                   char why[WHY_BYTES])
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end != '\0') {
        return no(why, "'%.80s' is not a whole number", value);
    }
    if (errno == ERANGE || v < min || v > max) {
        return no(why, "%.40s is outside %llu..%llu", value, (unsigned long long)min,
                  (unsigned long long)max);
    }
    *out = v;
    return true;
}

static bool set_listen(struct stoq_config *c, const char *value, char why[WHY_BYTES])
{
    if (c->listen_count == STOQ_NET_LISTEN_MAX) {
        return no(why, "more than %d addresses", STOQ_NET_LISTEN_MAX);
    }
    if (stoq_addr_parse(&c->listen[c->listen_count], stoq_span_str(value), PORT_DEFAULT) !=
        STOQ_OK) {
        return no(why, "'%.80s' is not an address, as in [::]:%d", value, PORT_DEFAULT);
    }
    c->listen_count++;
    return true;
}

static bool set_peer(struct stoq_config *c, const char *value, char why[WHY_BYTES])
{
    struct stoq_error err;
    if (c->peer_count == STOQ_FETCH_SOURCES_MAX) {
        return no(why, "more than %d peers", STOQ_FETCH_SOURCES_MAX);
    }
    if (stoq_source_parse(&c->peers[c->peer_count], value, &err) != STOQ_OK) {
        return no(why, "%.250s", err.text);
    }
    c->peer_count++;
    return true;
}

static bool set_store_dir(struct stoq_config *c, const char *value, char why[WHY_BYTES])
{
    if (value[0] != '/') {
        return no(why, "'%.80s' is not an absolute path", value);
    }
    if (strlen(value) >= sizeof c->store_dir) {
        return no(why, "the path is longer than %zu bytes", sizeof c->store_dir - 1);
    }
    memcpy(c->store_dir, value, strlen(value) + 1);
    return true;
}

static bool set_encryption(struct stoq_config *c, const char *value, char why[WHY_BYTES])
{
    return stoq_net_mode_parse(&c->encryption, stoq_span_str(value)) ||
           no(why, "'%.40s' is not kyber1024, kyber1024-pure or kyber768-hybrid", value);
}

static bool set_congestion(struct stoq_config *c, const char *value, char why[WHY_BYTES])
{
    return stoq_net_cc_parse(&c->congestion, stoq_span_str(value)) ||
           no(why, "'%.40s' is not auto, cubic or bbr", value);
}

static bool set_packet_bytes(struct stoq_config *c, const char *value, char why[WHY_BYTES])
{
    uint64_t v = 0;
    if (!number(value, 1200, 65000, &v, why)) {
        return false;
    }
    c->packet_bytes_max = (uint16_t)v;
    return true;
}

static bool set_connections(struct stoq_config *c, const char *value, char why[WHY_BYTES])
{
    uint64_t v = 0;
    if (!number(value, 1, 1000000, &v, why)) {
        return false;
    }
    c->connections_max = (size_t)v;
    return true;
}

static bool set_api_connections(struct stoq_config *c, const char *value, char why[WHY_BYTES])
{
    uint64_t v = 0;
    if (!number(value, 1, 4096, &v, why)) {
        return false;
    }
    c->api_connections_max = (unsigned)v;
    return true;
}

static bool set_workers(struct stoq_config *c, const char *value, char why[WHY_BYTES])
{
    uint64_t v = 0;
    if (!number(value, 1, 64, &v, why)) {
        return false;
    }
    c->workers = (unsigned)v;
    return true;
}

static bool set_log_level(struct stoq_config *c, const char *value, char why[WHY_BYTES])
{
    static const char *const level[] = {"quiet", "info", "debug"};
    for (size_t i = 0; i < STOQ_COUNT(level); i++) {
        if (strcmp(value, level[i]) == 0) {
            c->log_level = (enum stoq_log_level)i;
            return true;
        }
    }
    return no(why, "'%.40s' is not quiet, info or debug", value);
}

static const struct setting settings[] = {
    {"listen", true, set_listen},
    {"peer", true, set_peer},
    {"store.dir", false, set_store_dir},
    {"transport.encryption", false, set_encryption},
    {"transport.congestion", false, set_congestion},
    {"transport.packet_bytes_max", false, set_packet_bytes},
    {"limits.connections", false, set_connections},
    {"limits.api_connections", false, set_api_connections},
    {"limits.workers", false, set_workers},
    {"log.level", false, set_log_level},
};

struct parse {
    struct stoq_config *config;
    const char *name;
    struct stoq_span rest;
    int line; /* the last one read */
    bool seen[STOQ_COUNT(settings)];
    bool failed;
    int failed_line;
    char key[128];
    char why[WHY_BYTES];
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
    for (size_t i = 0; i < STOQ_COUNT(settings); i++) {
        if (strcmp(settings[i].key, key) != 0) {
            continue;
        }
        if (p->seen[i] && !settings[i].repeats) {
            refuse(p, key, "is set twice");
        } else if (value[0] == '\0') {
            refuse(p, key, "has no value");
        } else if (!settings[i].set(p->config, value, p->why)) {
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
    c->log_level = STOQ_LOG_INFO;
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
           "# Static peers, asked by every get that names no source; may be repeated.\n"
           "#peer = peer1...@[2001:db8::1]:4477\n"
           "\n"
           "[store]\n"
           "# Where packages are kept; default: below the home.\n"
           "#dir = /var/lib/stoq/store\n"
           "\n"
           "[transport]\n"
           "# kyber1024, kyber1024-pure or kyber768-hybrid; peers without a common mode refuse each\n"
           "# other.\n"
           "#encryption = kyber1024\n"
           "# auto, cubic or bbr\n"
           "#congestion = auto\n"
           "# Largest UDP payload tried, 1200..65000.\n"
           "#packet_bytes_max = 32700\n"
           "\n"
           "[limits]\n"
           "# Connections with peers, and with local clients.\n"
           "#connections = 4096\n"
           "#api_connections = 64\n"
           "# Threads that hash, decompress and read, 1..64.\n"
           "#workers = 2\n"
           "\n"
           "[log]\n"
           "# quiet, info or debug\n"
           "#level = info\n";
}
