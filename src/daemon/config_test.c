#include "daemon/config.h"

#include "wire/bech32m.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct stoq_config config;

static void parse_ok(const char *text)
{
    struct stoq_error err;
    if (stoq_config_parse(&config, "f", stoq_span_str(text), &err) != STOQ_OK) {
        fail_msg("%s", err.text);
    }
}

static void refuse(const char *text, const char *why)
{
    struct stoq_error err;
    struct stoq_config before;
    memset(&config, 7, sizeof config);
    before = config;
    assert_int_equal(stoq_config_parse(&config, "f", stoq_span_str(text), &err), STOQ_MALFORMED);
    assert_string_equal(err.code, "ConfigInvalid");
    if (strncmp(err.text, why, strlen(why)) != 0) {
        fail_msg("'%s' instead of '%s'", err.text, why);
    }
    assert_memory_equal(&before, &config, sizeof config);
}

static const char *a_peer(char out[160], uint8_t first, const char *addr)
{
    char id[STOQ_ID_TEXT_CAP];
    struct stoq_peer_id peer = {.h = {.b = {first}}};
    stoq_peer_id_put(id, &peer);
    (void)snprintf(out, 160, "%s@%s", id, addr);
    return out;
}

static void test_defaults(void **state)
{
    parse_ok("");
    assert_int_equal(config.listen_count, 0);
    assert_int_equal(config.peer_count, 0);
    assert_int_equal(config.encryption, STOQ_NET_KYBER1024);
    assert_int_equal(config.congestion, STOQ_NET_CC_AUTO);
    assert_int_equal(config.api_connections_max, 64);
    assert_int_equal(config.log_level, STOQ_LOG_INFO);
    assert_string_equal(config.store_dir, "");
    assert_true(config.lan);
    assert_true(config.dns_sd);
    assert_int_equal(config.scrub_rate_bytes_per_s, 8 * STOQ_MIB);
    assert_int_equal(config.scrub_every_s, 30 * 86400);
    assert_int_equal(config.dht_signed_s, 86400);
    struct stoq_buf text;
    struct stoq_error err;
    stoq_buf_init(&text, STOQ_CONFIG_BYTES_MAX);
    assert_int_equal(stoq_config_template(&text), STOQ_OK);
    if (stoq_config_parse(&config, "f", stoq_buf_span(&text), &err) != STOQ_OK) {
        fail_msg("%s", err.text);
    }
    stoq_buf_release(&text);
    parse_ok("discovery.lan = off\n");
    assert_false(config.lan);
    parse_ok("discovery.dns_sd = off\n");
    assert_false(config.dns_sd);
    assert_true(config.lan);
    assert_true(config.exchange);
    parse_ok("discovery.exchange = off\nsite = hall-2\n");
    assert_false(config.exchange);
    assert_string_equal(config.site, "hall-2");
}

static void test_all_keys(void **state)
{
    char text[2048];
    char a[160];
    char b[160];
    (void)snprintf(text, sizeof text,
                   "\xef\xbb\xbf# comment\r\n"
                   "listen = [::1]:4477\n"
                   "listen = 127.0.0.1\n"
                   "peer = %s\n"
                   "peer = %s host=a1  site=lab rack=r-3 region=eu_1\n"
                   "bootstrap = %s\n"
                   "store.dir = /srv/stoq\n"
                   "network.key = /etc/k\n"
                   "[transport]\n"
                   "mode = client\n"
                   "early_data = on\n"
                   "datagrams = off\n"
                   "idle_timeout = 5\n"
                   "compression = none\n"
                   "encryption = kyber768-hybrid ; inline\n"
                   "congestion = bbr\n"
                   "packet_bytes_max = 1452\n"
                   "[limits]\n"
                   "connections = 10\n"
                   "connections_prefix = 6\n"
                   "handshakes = 7\n"
                   "streams = 9\n"
                   "memory = 64MiB\n"
                   "memory_peer = 4194304\n"
                   "open_files = 100\n"
                   "api_connections = 3\n"
                   "workers = 4\n"
                   "[log]\n"
                   "level = debug",
                   a_peer(a, 1, "[::1]:1"), a_peer(b, 2, "192.0.2.1:4477"), a);
    parse_ok(text);
    assert_int_equal(config.listen_count, 2);
    assert_int_equal(config.listen[0].port, 4477);
    assert_int_equal(config.listen[1].port, 4477);
    assert_int_equal(config.peer_count, 2);
    assert_int_equal(config.peers[1].peer.h.b[0], 2);
    assert_int_equal(config.peers[1].addr.port, 4477);
    assert_string_equal(config.peer_places[0].host, "");
    assert_string_equal(config.peer_places[1].host, "a1");
    assert_string_equal(config.peer_places[1].site, "lab");
    assert_string_equal(config.peer_places[1].rack, "r-3");
    assert_string_equal(config.peer_places[1].region, "eu_1");
    assert_int_equal(config.bootstrap_count, 1);
    assert_int_equal(config.bootstrap[0].peer.h.b[0], 1);
    assert_true(config.client && config.raw);
    assert_string_equal(config.network_key, "/etc/k");
    assert_true(config.early_data && config.connections_only);
    assert_int_equal(config.idle_s, 5);
    assert_string_equal(config.store_dir, "/srv/stoq");
    assert_int_equal(config.encryption, STOQ_NET_KYBER768_HYBRID);
    assert_int_equal(config.congestion, STOQ_NET_CC_BBR);
    assert_int_equal(config.packet_bytes_max, 1452);
    assert_int_equal(config.limits.connections, 10);
    assert_int_equal(config.limits.connections_prefix, 6);
    assert_int_equal(config.limits.handshakes, 7);
    assert_int_equal(config.limits.streams, 9);
    assert_int_equal(config.limits.memory_bytes, 64 * STOQ_MIB);
    assert_int_equal(config.limits.memory_peer_bytes, 4 * STOQ_MIB);
    assert_int_equal(config.open_files_max, 100);
    assert_int_equal(config.api_connections_max, 3);
    assert_int_equal(config.workers, 4);
    assert_int_equal(config.log_level, STOQ_LOG_DEBUG);
}

static void test_refused_lines_and_peers(void **state)
{
    char text[512];
    char peer[160];
    refuse("\n\nnonsense = 1\n", "f:3: nonsense: no such key");
    refuse("[store]\nwhere = /x\n", "f:2: store.where: no such key");
    refuse("[nowhere]\ndir = /x\n", "f:2: nowhere.dir: no such key");
    refuse("listen\n", "f:1: neither a [section] nor key = value");
    refuse("[store\n", "f:1: neither a [section] nor key = value");
    refuse("listen =\n", "f:1: listen: has no value");
    refuse("listen = localhost:1\n", "f:1: listen: 'localhost:1' is not an address");
    refuse("listen = [::1]:99999\n", "f:1: listen: '[::1]:99999' is not an address");
    refuse("peer = x\n", "f:1: peer: 'x' is not PEER@ADDRESS");
    refuse("peer = x@[::1]:1\n", "f:1: peer: 'x' is not a peer id: those begin with peer1");
    refuse("peer = peer1x@[::1]:1\n", "f:1: peer: 'peer1x' has 6 characters; a peer id has 64");
    (void)snprintf(text, sizeof text, "peer = %s\n", a_peer(peer, 1, "[::1]"));
    refuse(text, "f:1: peer: '[::1]' is not an address with a port");
    (void)snprintf(text, sizeof text, "peer = %s\n", a_peer(peer, 1, "[::1]:1"));
    char *last = strchr(text, '@') - 1;
    *last = *last == 'q' ? 'p' : 'q';
    refuse(text, "f:1: peer: the checksum of 'peer1");
    (void)snprintf(text, sizeof text, "\npeer = %s site=a site=b\n", a_peer(peer, 1, "[::1]:1"));
    refuse(text, "f:2: peer: site= is given twice");
    (void)snprintf(text, sizeof text, "peer = %s room=a\n", a_peer(peer, 1, "[::1]:1"));
    refuse(text, "f:1: peer: 'room' is not host=, site=, rack= or region=");
    (void)snprintf(text, sizeof text, "peer = %s lab\n", a_peer(peer, 1, "[::1]:1"));
    refuse(text, "f:1: peer: 'lab' is not host=");
    (void)snprintf(text, sizeof text, "peer = %s host=\n", a_peer(peer, 1, "[::1]:1"));
    refuse(text, "f:1: peer: host= takes 1 to 32 letters");
    (void)snprintf(text, sizeof text, "peer = %s host=a,b\n", a_peer(peer, 1, "[::1]:1"));
    refuse(text, "f:1: peer: host= takes 1 to 32 letters");
    (void)snprintf(text, sizeof text, "bootstrap = %s host=a\n", a_peer(peer, 1, "[::1]:1"));
    refuse(text, "f:1: bootstrap: 'host=a' is one word too many");
    refuse("bootstrap = x\n", "f:1: bootstrap: 'x' is not PEER@ADDRESS");
}

static void test_refused_store_and_limits(void **state)
{
    refuse("store.dir = here\n", "f:1: store.dir: 'here' is not an absolute path");
    refuse("[store]\ndir = /a\ndir = /b\n", "f:3: store.dir: is set twice");
    refuse("[transport]\nencryption = none\n",
           "f:2: transport.encryption: 'none' is not kyber1024");
    refuse("[transport]\ncongestion = fast\n", "f:2: transport.congestion: 'fast' is not auto");
    refuse("[transport]\npacket_bytes_max = 1199\n",
           "f:2: transport.packet_bytes_max: 1199 is outside 1200..65000");
    refuse("[transport]\npacket_bytes_max = 1e4\n",
           "f:2: transport.packet_bytes_max: '1e4' is not a whole number");
    refuse("[limits]\nconnections = -1\n", "f:2: limits.connections: '-1' is not a whole number");
    refuse("[limits]\nconnections = 0\n", "f:2: limits.connections: 0 is outside 1..1000000");
    refuse("[limits]\nconnections = 99999999999999999999\n",
           "f:2: limits.connections: 99999999999999999999 is outside");
    refuse("[limits]\nworkers = 65\n", "f:2: limits.workers: 65 is outside 1..64");
}

static void test_refused_trust_and_bandwidth(void **state)
{
    refuse("[trust]\nminimum_reputation = 0\n",
           "f:2: trust.minimum_reputation: '0' is not a number");
    refuse("[trust]\nminimum_reputation = 1.001\n",
           "f:2: trust.minimum_reputation: '1.001' is not");
    refuse("[trust]\nminimum_trust_threshold = .5\n",
           "f:2: trust.minimum_trust_threshold: '.5' is not");
    refuse("[bandwidth]\nup = fast\n", "f:2: bandwidth.up: 'fast' is not a rate");
    refuse("bandwidth.down = 0\n", "f:1: bandwidth.down: '0' is not a rate");
    parse_ok("[bandwidth]\nup = 2MiB\ndown = 20Mbit\n");
    parse_ok("[bandwidth]\nclass = background up=1MB\nclass = normal up=2MB down=none\n");
    parse_ok(
        "[bandwidth]\nbetween = 08:00-18:00 up=1MB\nbetween = 22:00-06:00 up=none down=none\n");
    parse_ok("[transfer]\nmax_concurrent = 3\n");
    refuse("bandwidth.class = urgent up=1MB\n", "f:1: bandwidth.class: 'urgent' is not");
    refuse("bandwidth.class = normal\n", "f:1: bandwidth.class: up=RATE or down=RATE is missing");
    refuse("bandwidth.class = normal up=1MB up=1MB\n", "f:1: bandwidth.class: 'up=1MB' is not");
    refuse("bandwidth.between = 08:00-25:00 up=1MB\n", "f:1: bandwidth.between: '08:00-25:00' is");
    refuse("transfer.max_concurrent = 0\n", "f:1: transfer.max_concurrent: 0 is outside 1..1024");
    parse_ok("[trust]\nminimum_trust_threshold = 0.5\nminimum_reputation = 1\n");
}

static void test_refused_switches(void **state)
{
    refuse("[limits]\napi_connections = 0\n", "f:2: limits.api_connections: 0 is outside 1..4096");
    refuse("[network]\nkey = secret\n", "f:2: network.key: neither 64 hexadecimal digits nor");
    refuse("[network]\nkey = 0011\n", "f:2: network.key: neither 64 hexadecimal digits nor");
    refuse("[store]\nlevel = 20\n", "f:2: store.level: 20 is outside 1..19");
    refuse("[dht]\nsigned = 19m\n", "f:2: dht.signed: '19m' is not a time from 20m to 24h");
    refuse("[dht]\nsigned = 25h\n", "f:2: dht.signed: '25h' is not a time from 20m to 24h");
    refuse("[store]\nlevel = best\n", "f:2: store.level: 'best' is not a whole number");
    refuse("[transport]\nmode = server\n", "f:2: transport.mode: 'server' is not p2p or client");
    refuse("[transport]\nearly_data = yes\n", "f:2: transport.early_data: 'yes' is not on or off");
    refuse("[transport]\ndatagrams = no\n", "f:2: transport.datagrams: 'no' is not on or off");
    refuse("[transport]\nidle_timeout = 0\n", "f:2: transport.idle_timeout: 0 is outside 1..3600");
    refuse("[transport]\ncompression = gzip\n",
           "f:2: transport.compression: 'gzip' is not zstd or none");
    refuse("[limits]\nconnections_prefix = 0\n",
           "f:2: limits.connections_prefix: 0 is outside 1..1000000");
    refuse("[limits]\nhandshakes = 0\n", "f:2: limits.handshakes: 0 is outside 1..65536");
    refuse("[limits]\nstreams = 5000\n", "f:2: limits.streams: 5000 is outside 1..4096");
    refuse("[limits]\nmemory = 1MiB\n", "f:2: limits.memory: 1MiB is outside 16777216..");
    refuse("[limits]\nmemory = 64 MiB\n", "f:2: limits.memory: '64 MiB' is not a size");
    refuse("[limits]\nmemory = 99999999999GiB\n", "f:2: limits.memory: 99999999999GiB is outside");
    refuse("[limits]\nmemory_peer = 64MB\n", "f:2: limits.memory_peer: '64MB' is not a size");
    refuse("[limits]\nopen_files = 1\n", "f:2: limits.open_files: 1 is outside 64..1000000");
    refuse("discovery.exchange = 1\n", "f:1: discovery.exchange: '1' is not on or off");
    refuse("allow = peer1x\n", "f:1: allow: 'peer1x' is not a peer id");
    refuse("site = a b\n", "f:1: site: 'a b' is not 1 to 32 letters, digits, dots, dashes and "
                           "underscores");
    refuse("[discovery]\nlan = yes\n", "f:2: discovery.lan: 'yes' is not on or off");
    refuse("[log]\nlevel = loud\n", "f:2: log.level: 'loud' is not quiet, info or debug");
    refuse("[log]\nlevel = loud\nnonsense\n", "f:2: log.level:");
    refuse("nonsense\n[log]\nlevel = loud\n", "f:1: neither");
}

static void test_counts(void **state)
{
    char text[8192] = "";
    size_t n = 0;
    for (int i = 0; i < STOQ_NET_LISTEN_MAX + 1; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n, "listen = [::1]:%d\n", i + 1);
    }
    refuse(text, "f:17: listen: more than 16 addresses");
    n = 0;
    for (int i = 0; i < STOQ_FETCH_SOURCES_MAX + 1; i++) {
        char peer[160];
        n += (size_t)snprintf(text + n, sizeof text - n, "peer = %s\n", a_peer(peer, 1, "[::]:1"));
    }
    refuse(text, "f:65: peer: more than 64 peers");
}

static void test_lines(void **state)
{
    char text[4096];
    struct stoq_error err;
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    refuse(text, "f:1: the line is longer than");
    assert_int_equal(stoq_config_parse(&config, "f", stoq_span("\nlisten\0 = [::1]:1\n", 19), &err),
                     STOQ_MALFORMED);
    assert_string_equal(err.text, "f:2: the line holds a NUL byte");
}

static void test_files(void **state)
{
    struct stoq_error err;
    assert_int_equal(stoq_config_load(&config, "/nonexistent/stoq.conf", &err), STOQ_NOTFOUND);
    char path[] = "/tmp/stoq-config-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *f = fdopen(fd, "w");
    (void)fputs("\nlog.level = none\n", f);
    fclose(f);
    assert_int_equal(stoq_config_load(&config, path, &err), STOQ_MALFORMED);
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, ":2: log.level: 'none'"));
    assert_int_equal(remove(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_all_keys),
        cmocka_unit_test(test_refused_lines_and_peers),
        cmocka_unit_test(test_refused_store_and_limits),
        cmocka_unit_test(test_refused_trust_and_bandwidth),
        cmocka_unit_test(test_refused_switches),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
