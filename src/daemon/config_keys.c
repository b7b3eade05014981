/* What each key of the configuration takes. A setter checks one value and says what is wrong with it. */
#include "daemon/config_internal.h"

#include "dht/dht.h"

#include "daemon/rate.h"
#include "daemon/share_words.h"
#include "daemon/source.h"
#include "daemon/units.h"
#include "store/store.h"
#include "wire/bech32m.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PORT_DEFAULT = 4477, VALUE_MAX = 256 };

#define SCRUB_EVERY_S_MAX ((uint64_t)3650 * 86400)
#define DHT_SIGNED_S_MIN 1200 /* holders keep a record for some minutes, and count in those */

static bool no(char why[CONFIG_WHY_BYTES], const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static bool no(char why[CONFIG_WHY_BYTES], const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, CONFIG_WHY_BYTES, fmt, ap);
    va_end(ap);
    return false;
}

/* A whole number in min .. max; unit is what may follow it ("" or a size). */
static bool number(const char *value, uint64_t min, uint64_t max, uint64_t *out,
                   char why[CONFIG_WHY_BYTES])
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

/* Bytes: a whole number, alone or followed by KiB, MiB or GiB. */
static bool size(const char *value, uint64_t min, uint64_t max, uint64_t *out,
                 char why[CONFIG_WHY_BYTES])
{
    static const struct {
        const char *text;
        unsigned shift;
    } units[] = {{"", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}};
    char *end;
    errno = 0;
    unsigned long long v = strtoull(value, &end, 10);
    for (size_t i = 0; value[0] >= '0' && value[0] <= '9' && i < STOQ_COUNT(units); i++) {
        if (strcmp(end, units[i].text) != 0) {
            continue;
        }
        if (errno == ERANGE || v > max >> units[i].shift || v << units[i].shift < min) {
            return no(why, "%.40s is outside %llu..%llu bytes", value, (unsigned long long)min,
                      (unsigned long long)max);
        }
        *out = v << units[i].shift;
        return true;
    }
    return no(why, "'%.80s' is not a size, as in 67108864 or 64MiB", value);
}

static bool set_listen(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
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

/* A label of a failure domain: what tools may show and compare without quoting. */
static bool is_label(const char *text)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        if (!isalnum((unsigned char)text[i]) && strchr("._-", text[i]) == NULL) {
            return false;
        }
    }
    return n >= 1 && n <= STOQ_PEERS_LABEL_MAX;
}

/* One `site=lab` behind a peer. */
static bool set_label(struct stoq_peers_place *place, char *word, char why[CONFIG_WHY_BYTES])
{
    const struct {
        const char *name;
        char *to;
    } labels[] = {{"host", place->host},
                  {"site", place->site},
                  {"rack", place->rack},
                  {"region", place->region}};
    char *value = strchr(word, '=');
    if (value != NULL) {
        *value++ = '\0';
    }
    for (size_t i = 0; value != NULL && i < STOQ_COUNT(labels); i++) {
        if (strcmp(labels[i].name, word) != 0) {
            continue;
        }
        if (labels[i].to[0] != '\0') {
            return no(why, "%s= is given twice", word);
        }
        if (!is_label(value)) {
            return no(why, "%s= takes 1 to %d letters, digits, dots, dashes and underscores", word,
                      STOQ_PEERS_LABEL_MAX);
        }
        memcpy(labels[i].to, value, strlen(value) + 1);
        return true;
    }
    return no(why, "'%.80s' is not host=, site=, rack= or region=", word);
}

/* PEER@ADDRESS and, where place is not NULL, labels behind it. */
static bool read_source(struct stoq_fetch_source *out, struct stoq_peers_place *place,
                        const char *value, char why[CONFIG_WHY_BYTES])
{
    char text[VALUE_MAX];
    char *rest = NULL;
    struct stoq_error err;
    if (strlen(value) >= sizeof text) {
        return no(why, "is too long");
    }
    memcpy(text, value, strlen(value) + 1);
    char *word = strtok_r(text, " \t", &rest);
    if (stoq_source_parse(out, word == NULL ? "" : word, &err) != STOQ_OK) {
        return no(why, "%.250s", err.text);
    }
    while ((word = strtok_r(NULL, " \t", &rest)) != NULL) {
        if (place == NULL) {
            return no(why, "'%.80s' is one word too many", word);
        }
        if (!set_label(place, word, why)) {
            return false;
        }
    }
    return true;
}

static bool set_peer(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    if (c->peer_count == STOQ_FETCH_SOURCES_MAX) {
        return no(why, "more than %d peers", STOQ_FETCH_SOURCES_MAX);
    }
    if (!read_source(&c->peers[c->peer_count], &c->peer_places[c->peer_count], value, why)) {
        return false;
    }
    c->peer_count++;
    return true;
}

static bool set_site(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    if (!is_label(value)) {
        return no(why, "'%.80s' is not 1 to %d letters, digits, dots, dashes and underscores",
                  value, STOQ_PEERS_LABEL_MAX);
    }
    memcpy(c->site, value, strlen(value) + 1);
    return true;
}

static bool set_allow(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    if (c->allow_count == STOQ_ALLOW_MAX) {
        return no(why, "more than %d peers", STOQ_ALLOW_MAX);
    }
    if (stoq_peer_id_get(&c->allow[c->allow_count], stoq_span_str(value)) != STOQ_OK) {
        return no(why, "'%.80s' is not a peer id", value);
    }
    c->allow_count++;
    return true;
}

static bool set_bootstrap(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    if (c->bootstrap_count == STOQ_CONFIG_BOOTSTRAP_MAX) {
        return no(why, "more than %d bootstrap peers", STOQ_CONFIG_BOOTSTRAP_MAX);
    }
    if (!read_source(&c->bootstrap[c->bootstrap_count], NULL, value, why)) {
        return false;
    }
    c->bootstrap_count++;
    return true;
}

static bool set_store_dir(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
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

/* The key itself, or the file that holds it; the file is read when the node starts. */
static bool set_scrub_rate(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    return stoq_bytes_parse(value, &c->scrub_rate_bytes_per_s) ||
           no(why, "'%.40s' is not a number of bytes, as in 8MiB", value);
}

static bool set_scrub_every(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    return (stoq_seconds_parse(value, &c->scrub_every_s) &&
            c->scrub_every_s <= SCRUB_EVERY_S_MAX) ||
           no(why, "'%.40s' is not a time, as in 12h, 30d or 0 for never", value);
}

static bool set_network_key(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    bool hex = strlen(value) == 64 && strspn(value, "0123456789abcdefABCDEF") == 64;
    if (!hex && value[0] != '/') {
        return no(why, "neither 64 hexadecimal digits nor the absolute path of a file with them");
    }
    memcpy(c->network_key, value, strlen(value) + 1); /* shorter than a line */
    return true;
}

static bool set_mode(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    c->client = strcmp(value, "client") == 0;
    return c->client || strcmp(value, "p2p") == 0 || no(why, "'%.40s' is not p2p or client", value);
}

static bool set_encryption(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    return stoq_net_mode_parse(&c->encryption, stoq_span_str(value)) ||
           no(why, "'%.40s' is not kyber1024, kyber1024-pure or kyber768-hybrid", value);
}

static bool set_compression(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    c->raw = strcmp(value, "none") == 0;
    return c->raw || strcmp(value, "zstd") == 0 || no(why, "'%.40s' is not zstd or none", value);
}

static bool set_congestion(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    return stoq_net_cc_parse(&c->congestion, stoq_span_str(value)) ||
           no(why, "'%.40s' is not auto, cubic or bbr", value);
}

static bool set_early_data(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    c->early_data = strcmp(value, "on") == 0;
    return c->early_data || strcmp(value, "off") == 0 || no(why, "'%.40s' is not on or off", value);
}

static bool set_datagrams(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    c->connections_only = strcmp(value, "off") == 0;
    return c->connections_only || strcmp(value, "on") == 0 ||
           no(why, "'%.40s' is not on or off", value);
}

static bool set_idle(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    return number(value, 1, 3600, &c->idle_s, why);
}

static bool set_packet_bytes(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    uint64_t v = 0;
    if (!number(value, 1200, 65000, &v, why)) {
        return false;
    }
    c->packet_bytes_max = (uint16_t)v;
    return true;
}

static bool set_net_threads(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    uint64_t v = 0;
    if (!number(value, 1, STOQ_NET_THREADS_MAX, &v, why)) {
        return false;
    }
    c->net_threads = (unsigned)v;
    return true;
}

static bool set_connections(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    uint64_t v = 0;
    if (!number(value, 1, 1000000, &v, why)) {
        return false;
    }
    c->limits.connections = (size_t)v;
    return true;
}

static bool set_connections_prefix(struct stoq_config *c, const char *value,
                                   char why[CONFIG_WHY_BYTES])
{
    uint64_t v = 0;
    if (!number(value, 1, 1000000, &v, why)) {
        return false;
    }
    c->limits.connections_prefix = (size_t)v;
    return true;
}

static bool set_handshakes(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    uint64_t v = 0;
    if (!number(value, 1, 65536, &v, why)) {
        return false;
    }
    c->limits.handshakes = (size_t)v;
    return true;
}

static bool set_streams(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    uint64_t v = 0;
    if (!number(value, 1, 4096, &v, why)) {
        return false;
    }
    c->limits.streams = (uint32_t)v;
    return true;
}

static bool set_memory(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    return size(value, 16 * STOQ_MIB, 1024 * STOQ_GIB, &c->limits.memory_bytes, why);
}

static bool set_memory_peer(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    return size(value, 4 * STOQ_MIB, 4 * STOQ_GIB, &c->limits.memory_peer_bytes, why);
}

static bool set_open_files(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    return number(value, 64, 1000000, &c->open_files_max, why);
}

static bool set_api_connections(struct stoq_config *c, const char *value,
                                char why[CONFIG_WHY_BYTES])
{
    uint64_t v = 0;
    if (!number(value, 1, 4096, &v, why)) {
        return false;
    }
    c->api_connections_max = (unsigned)v;
    return true;
}

/* A fraction from 0.001 to 1 with at most three decimals. */
static bool fraction(const char *value, uint64_t *out, char why[CONFIG_WHY_BYTES])
{
    uint64_t thousandths = 0;
    const char *c = value;
    for (; *c >= '0' && *c <= '9' && thousandths < 10; c++) {
        thousandths = thousandths * 10 + (uint64_t)(*c - '0');
    }
    bool digits = c > value;
    thousandths *= 1000;
    if (digits && *c == '.') {
        uint64_t place = 100;
        for (c++; *c >= '0' && *c <= '9' && place > 0; c++, place /= 10) {
            thousandths += (uint64_t)(*c - '0') * place;
        }
    }
    if (!digits || *c != '\0' || thousandths < 1 || thousandths > 1000) {
        return no(why, "'%.40s' is not a number from 0.001 to 1", value);
    }
    *out = thousandths * (STOQ_Q32_ONE / 1000);
    return true;
}

static bool rate(const char *value, uint64_t *out, char why[CONFIG_WHY_BYTES])
{
    return (stoq_rate_parse(value, out) && *out > 0) ||
           no(why, "'%.40s' is not a rate, as in 2MiB or 20Mbit", value);
}

static bool set_up(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    return rate(value, &c->up_bytes_per_s, why);
}

static bool set_down(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    return rate(value, &c->down_bytes_per_s, why);
}

/* A first word, then "up=RATE", "down=RATE" or both. */
static bool read_caps(const char *value, char first[VALUE_MAX], bool set[STOQ_QOS_DIRS],
                      uint64_t rate_of[STOQ_QOS_DIRS], char why[CONFIG_WHY_BYTES])
{
    char *rest = NULL;
    const char *word;
    if (strlen(value) >= VALUE_MAX) {
        return no(why, "is too long");
    }
    memcpy(first, value, strlen(value) + 1);
    (void)strtok_r(first, " \t", &rest);
    while ((word = strtok_r(NULL, " \t", &rest)) != NULL) {
        if (!stoq_cap_word_parse(word, set, rate_of)) {
            return no(why, "'%.40s' is not up=RATE or down=RATE, each once", word);
        }
    }
    return set[STOQ_QOS_UP] || set[STOQ_QOS_DOWN] || no(why, "up=RATE or down=RATE is missing");
}

static bool set_class(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    char name[VALUE_MAX];
    bool set[STOQ_QOS_DIRS] = {false, false};
    uint64_t rate_of[STOQ_QOS_DIRS] = {0, 0};
    enum stoq_priority class = STOQ_PRIORITY_NORMAL;
    if (!read_caps(value, name, set, rate_of, why)) {
        return false;
    }
    if (!stoq_priority_parse(name, &class)) {
        return no(why, "'%.40s' is not interactive, normal or background", name);
    }
    for (int dir = 0; dir < STOQ_QOS_DIRS; dir++) {
        c->class_bytes_per_s[dir][class] = rate_of[dir];
    }
    return true;
}

static bool set_between(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    char between[VALUE_MAX];
    struct stoq_qos_window w = {0};
    if (!read_caps(value, between, w.set, w.rate_bytes_per_s, why)) {
        return false;
    }
    if (!stoq_between_parse(between, &w)) {
        return no(why, "'%.40s' is not a time of day, as in 08:00-18:00", between);
    }
    if (c->window_count == STOQ_QOS_WINDOWS_MAX) {
        return no(why, "more than %u times of day", STOQ_QOS_WINDOWS_MAX);
    }
    c->windows[c->window_count++] = w;
    return true;
}

static bool set_max_concurrent(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    uint64_t v = 0;
    if (!number(value, 1, STOQ_NODE_FETCHES_MAX, &v, why)) {
        return false;
    }
    c->fetches_running_max = (uint32_t)v;
    return true;
}

static bool set_minimum_reputation(struct stoq_config *c, const char *value,
                                   char why[CONFIG_WHY_BYTES])
{
    return fraction(value, &c->trust.minimum_reputation, why);
}

static bool set_minimum_trust(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    return fraction(value, &c->trust.minimum_trust_threshold, why);
}

static bool set_workers(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    uint64_t v = 0;
    if (!number(value, 1, 64, &v, why)) {
        return false;
    }
    c->workers = (unsigned)v;
    return true;
}

static bool on_or_off(const char *value, bool *out, char why[CONFIG_WHY_BYTES])
{
    *out = strcmp(value, "on") == 0;
    return *out || strcmp(value, "off") == 0 || no(why, "'%.40s' is not on or off", value);
}

static bool set_lan(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    return on_or_off(value, &c->lan, why);
}

static bool set_dns_sd(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    return on_or_off(value, &c->dns_sd, why);
}

static bool set_exchange(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    return on_or_off(value, &c->exchange, why);
}

static bool set_dht(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    return on_or_off(value, &c->dht, why);
}

static bool set_dht_announce(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    return on_or_off(value, &c->dht_announce, why);
}

static bool set_dht_bits(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    uint64_t n = 0;
    if (!number(value, 0, STOQ_DHT_WORK_MAX, &n, why)) {
        return false;
    }
    c->dht_bits = (unsigned)n;
    return true;
}

static bool set_dht_holders(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    uint64_t n = 0;
    if (!number(value, 1, STOQ_DHT_K, &n, why)) {
        return false;
    }
    c->dht_holders = (unsigned)n;
    return true;
}

static bool set_dht_signed(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    return (stoq_seconds_parse(value, &c->dht_signed_s) && c->dht_signed_s >= DHT_SIGNED_S_MIN &&
            c->dht_signed_s <= STOQ_DHT_SIGNED_S) ||
           no(why, "'%.40s' is not a time from 20m to 24h", value);
}

static bool set_accept(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    static const char *const word[] = {[STOQ_REPLICA_ACCEPT_KNOWN] = "known",
                                       [STOQ_REPLICA_ACCEPT_ALL] = "all",
                                       [STOQ_REPLICA_ACCEPT_NONE] = "none"};
    for (size_t i = 0; i < STOQ_COUNT(word); i++) {
        if (strcmp(value, word[i]) == 0) {
            c->accept = (enum stoq_replica_policy)i;
            return true;
        }
    }
    return no(why, "'%.40s' is not known, all or none", value);
}

static bool set_log_level(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
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

static bool set_quota(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    uint64_t v = 0;
    if (!stoq_bytes_parse(value, &v) || (v != 0 && (v < STOQ_QUOTA_BYTES_MIN || v > INT64_MAX))) {
        return no(why, "'%.40s' is not a size of at least 8MiB, as in 10GiB, or 0", value);
    }
    c->quota_bytes = v;
    return true;
}

/* "90%" or "90". */
static bool percent(const char *value, unsigned min, unsigned max, unsigned *out,
                    char why[CONFIG_WHY_BYTES])
{
    char *end;
    unsigned long v = strtoul(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || (end[0] == '%' ? end[1] : end[0]) != '\0' || v < min ||
        v > max) {
        return no(why, "'%.40s' is not %u%%..%u%%", value, min, max);
    }
    *out = (unsigned)v;
    return true;
}

static bool set_quota_high(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    return percent(value, 2, 100, &c->quota_high_percent, why);
}

static bool set_quota_low(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    return percent(value, 1, 99, &c->quota_low_percent, why);
}

static bool set_level(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    uint64_t v = 0;
    if (strcmp(value, "none") == 0 || strcmp(value, "auto") == 0) {
        c->zstd_level = value[0] == 'n' ? -1 : STOQ_STORE_LEVEL_AUTO;
        return true;
    }
    if (!number(value, 1, STOQ_STORE_LEVEL_MAX, &v, why)) {
        return false;
    }
    c->zstd_level = (int)v;
    return true;
}

static bool set_gc_rate(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    return stoq_bytes_parse(value, &c->gc_rate_bytes_per_s) ||
           no(why, "'%.40s' is not a size, as in 32MiB", value);
}

static bool set_gc_garbage(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES])
{
    return percent(value, 1, 99, &c->gc_garbage_percent, why);
}

static const struct config_setting settings[] = {
    {"listen", CONFIG_REPEATS, set_listen},
    {"peer", CONFIG_REPEATS | CONFIG_AT_ONCE, set_peer},
    {"bootstrap", CONFIG_REPEATS, set_bootstrap},
    {"site", 0, set_site},
    {"allow", CONFIG_REPEATS, set_allow},
    {"discovery.lan", 0, set_lan},
    {"discovery.dns_sd", 0, set_dns_sd},
    {"discovery.exchange", 0, set_exchange},
    {"discovery.dht", 0, set_dht},
    {"dht.announce", 0, set_dht_announce},
    {"dht.bits", 0, set_dht_bits},
    {"dht.holders", 0, set_dht_holders},
    {"dht.signed", 0, set_dht_signed},
    {"distribute.accept", CONFIG_AT_ONCE, set_accept},
    {"store.dir", 0, set_store_dir},
    {"store.quota", 0, set_quota},
    {"store.quota_high", CONFIG_AT_ONCE, set_quota_high},
    {"store.quota_low", CONFIG_AT_ONCE, set_quota_low},
    {"store.level", 0, set_level},
    {"store.gc_rate", CONFIG_AT_ONCE, set_gc_rate},
    {"store.gc_garbage", CONFIG_AT_ONCE, set_gc_garbage},
    {"store.scrub_rate", 0, set_scrub_rate},
    {"store.scrub_every", 0, set_scrub_every},
    {"network.key", 0, set_network_key},
    {"transport.mode", 0, set_mode},
    {"transport.encryption", 0, set_encryption},
    {"transport.compression", 0, set_compression},
    {"transport.congestion", 0, set_congestion},
    {"transport.early_data", 0, set_early_data},
    {"transport.datagrams", 0, set_datagrams},
    {"transport.idle_timeout", 0, set_idle},
    {"transport.packet_bytes_max", 0, set_packet_bytes},
    {"net.threads", 0, set_net_threads},
    {"limits.connections", 0, set_connections},
    {"limits.connections_prefix", 0, set_connections_prefix},
    {"limits.handshakes", 0, set_handshakes},
    {"limits.streams", 0, set_streams},
    {"limits.memory", 0, set_memory},
    {"limits.memory_peer", 0, set_memory_peer},
    {"limits.open_files", 0, set_open_files},
    {"limits.api_connections", 0, set_api_connections},
    {"limits.workers", 0, set_workers},
    {"bandwidth.up", 0, set_up},
    {"bandwidth.down", 0, set_down},
    {"bandwidth.class", CONFIG_REPEATS, set_class},
    {"bandwidth.between", CONFIG_REPEATS, set_between},
    {"transfer.max_concurrent", 0, set_max_concurrent},
    {"trust.minimum_reputation", 0, set_minimum_reputation},
    {"trust.minimum_trust_threshold", 0, set_minimum_trust},
    {"log.level", CONFIG_AT_ONCE, set_log_level},
};
_Static_assert(STOQ_COUNT(settings) < STOQ_CONFIG_KEYS_MAX, "seen has room for every key");

const struct config_setting *config_setting_at(size_t i)
{
    return i < STOQ_COUNT(settings) ? &settings[i] : NULL;
}
