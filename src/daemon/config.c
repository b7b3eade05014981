/*
 * inih splits lines; what a key means is in config_keys.c. inih hands no line numbers to its handler,
 * but it asks for one line at a time, so the reader below counts them: during a handler call the last line
 * read is the line at hand. The reader also refuses what inih would silently cut: long lines, NUL bytes.
 */
#include "daemon/config_internal.h"

#include "dht/dht.h"
#include "hash/hash.h"
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
    bool seen[STOQ_CONFIG_KEYS_MAX];
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

/* Values of one key in their order: another digest, another thing said. */
static void note_value(uint64_t *said, const char *value)
{
    const struct stoq_span parts[] = {stoq_span((const uint8_t *)said, sizeof *said),
                                      stoq_span_str(value)};
    *said = stoq_hash_xxh3_64_parts(parts, STOQ_COUNT(parts)) | 1;
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
        if (p->seen[i] && (s->flags & CONFIG_REPEATS) == 0) {
            refuse(p, key, "is set twice");
        } else if (value[0] == '\0') {
            refuse(p, key, "has no value");
        } else if (!s->set(p->config, value, p->why)) {
            refuse(p, key, p->why);
        }
        p->seen[i] = true;
        note_value(&p->config->said[i], value);
        return 1;
    }
    refuse(p, key, "no such key");
    return 1;
}

const char *stoq_config_waits(const struct stoq_config *before, const struct stoq_config *after,
                              size_t *at)
{
    const struct config_setting *s;
    while ((s = config_setting_at(*at)) != NULL) {
        size_t i = (*at)++;
        if ((s->flags & CONFIG_AT_ONCE) == 0 && before->said[i] != after->said[i]) {
            return s->key;
        }
    }
    return NULL;
}

void stoq_config_init(struct stoq_config *c)
{
    memset(c, 0, sizeof *c);
    c->encryption = STOQ_NET_KYBER1024;
    c->congestion = STOQ_NET_CC_AUTO;
    c->api_connections_max = 64;
    c->lan = true;
    c->dns_sd = true;
    c->exchange = true;
    c->dht = true;
    c->dht_announce = true;
    c->dht_bits = STOQ_DHT_WORK_DEFAULT;
    c->dht_holders = STOQ_DHT_K;
    c->dht_signed_s = STOQ_DHT_SIGNED_S;
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
