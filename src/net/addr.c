#include "net/addr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#define V4_OFFSET 12

static const uint8_t v4_mapped[V4_OFFSET] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
static const uint8_t zeros[16];

/* Decimal, 1 .. 65535, no sign, no leading zero. */
static bool parse_port(uint16_t *out, const char *s)
{
    unsigned long v = 0;
    size_t n = strlen(s);
    if (n == 0 || n > 5 || (s[0] == '0' && n > 1)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9') {
            return false;
        }
        v = v * 10 + (unsigned long)(s[i] - '0');
    }
    if (v > 65535) {
        return false;
    }
    *out = (uint16_t)v;
    return true;
}

static bool parse_host(struct stoq_addr *out, const char *host)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *found;
    struct in_addr v4;
    /* getaddrinfo alone would take "1" or "0x7f.1" as IPv4. */
    if (strchr(host, ':') == NULL && inet_pton(AF_INET, host, &v4) != 1) {
        return false;
    }
    if (getaddrinfo(host, NULL, &hints, &found) != 0) {
        return false;
    }
    bool good = stoq_addr_from_sockaddr(out, found->ai_addr, found->ai_addrlen) == STOQ_OK;
    freeaddrinfo(found);
    return good;
}

/* Cut "[host]:port", "[host]", "v4:port" or "v4" in two, in place; *port is NULL where there is none.
 * A bare IPv6 address has no port: its last colon would be ambiguous. */
static bool split(char *text, char **host, char **port)
{
    *port = NULL;
    *host = text;
    if (text[0] == '[') {
        char *end = strchr(text, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':')) {
            return false;
        }
        *host = text + 1;
        *port = end[1] == ':' ? end + 2 : NULL;
        *end = '\0';
        return strchr(*host, ':') != NULL; /* brackets are for IPv6 */
    }
    char *colon = strchr(text, ':');
    if (colon != NULL && strchr(colon + 1, ':') == NULL) {
        *colon = '\0';
        *port = colon + 1;
    }
    return true;
}

enum stoq_status stoq_addr_parse(struct stoq_addr *out, struct stoq_span s, uint16_t default_port)
{
    char text[STOQ_ADDR_TEXT_MAX];
    if (s.n == 0 || s.n >= sizeof text || memchr(s.p, 0, s.n) != NULL) {
        return STOQ_MALFORMED;
    }
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    char *host;
    char *port;
    struct stoq_addr addr;
    uint16_t number = default_port;
    if (!split(text, &host, &port) || !parse_host(&addr, host)) {
        return STOQ_MALFORMED;
    }
    if (port == NULL ? default_port == 0 : !parse_port(&number, port)) {
        return STOQ_MALFORMED;
    }
    addr.port = number;
    *out = addr;
    return STOQ_OK;
}

const char *stoq_addr_format(const struct stoq_addr *addr, char out[STOQ_ADDR_TEXT_MAX])
{
    char host[INET6_ADDRSTRLEN];
    if (stoq_addr_is_v4(addr)) {
        (void)inet_ntop(AF_INET, addr->ip + V4_OFFSET, host, sizeof host);
        (void)snprintf(out, STOQ_ADDR_TEXT_MAX, "%s:%u", host, addr->port);
        return out;
    }
    (void)inet_ntop(AF_INET6, addr->ip, host, sizeof host);
    if (addr->scope != 0) {
        (void)snprintf(out, STOQ_ADDR_TEXT_MAX, "[%s%%%u]:%u", host, addr->scope, addr->port);
    } else {
        (void)snprintf(out, STOQ_ADDR_TEXT_MAX, "[%s]:%u", host, addr->port);
    }
    return out;
}

bool stoq_addr_eq(const struct stoq_addr *a, const struct stoq_addr *b)
{
    return memcmp(a->ip, b->ip, sizeof a->ip) == 0 && a->port == b->port && a->scope == b->scope;
}

int stoq_addr_cmp(const struct stoq_addr *a, const struct stoq_addr *b)
{
    int c = memcmp(a->ip, b->ip, sizeof a->ip);
    if (c != 0) {
        return c;
    }
    if (a->scope != b->scope) {
        return a->scope < b->scope ? -1 : 1;
    }
    return (a->port > b->port) - (a->port < b->port);
}

bool stoq_addr_is_v4(const struct stoq_addr *addr)
{
    return memcmp(addr->ip, v4_mapped, sizeof v4_mapped) == 0;
}

bool stoq_addr_is_any(const struct stoq_addr *addr)
{
    size_t skip = stoq_addr_is_v4(addr) ? V4_OFFSET : 0;
    return memcmp(addr->ip + skip, zeros, sizeof addr->ip - skip) == 0;
}

bool stoq_addr_is_loopback(const struct stoq_addr *addr)
{
    if (stoq_addr_is_v4(addr)) {
        return addr->ip[V4_OFFSET] == 127;
    }
    return memcmp(addr->ip, zeros, 15) == 0 && addr->ip[15] == 1;
}

bool stoq_addr_is_link_local(const struct stoq_addr *addr)
{
    if (stoq_addr_is_v4(addr)) {
        return addr->ip[V4_OFFSET] == 169 && addr->ip[V4_OFFSET + 1] == 254;
    }
    return addr->ip[0] == 0xfe && (addr->ip[1] & 0xc0) == 0x80;
}

uint64_t stoq_addr_prefix(const struct stoq_addr *addr)
{
    bool v4 = stoq_addr_is_v4(addr);
    const uint8_t *p = v4 ? addr->ip + V4_OFFSET : addr->ip;
    uint64_t prefix = 0;
    for (size_t i = 0; i < (v4 ? 3U : 6U); i++) {
        prefix = prefix << 8 | p[i];
    }
    return prefix << 1 | v4;
}

struct sockaddr_in6 stoq_addr_to_in6(const struct stoq_addr *addr)
{
    struct sockaddr_in6 in6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(addr->port), .sin6_scope_id = addr->scope};
    memcpy(&in6.sin6_addr, addr->ip, sizeof addr->ip);
    return in6;
}

enum stoq_status stoq_addr_from_sockaddr(struct stoq_addr *out, const struct sockaddr *sa,
                                         size_t sa_len)
{
    struct stoq_addr addr = {0};
    if (sa_len >= sizeof(struct sockaddr_in6) && sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof in6);
        memcpy(addr.ip, &in6.sin6_addr, sizeof addr.ip);
        addr.port = ntohs(in6.sin6_port);
        addr.scope = stoq_addr_is_link_local(&addr) ? in6.sin6_scope_id : 0;
    } else if (sa_len >= sizeof(struct sockaddr_in) && sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof in);
        memcpy(addr.ip, v4_mapped, sizeof v4_mapped);
        memcpy(addr.ip + V4_OFFSET, &in.sin_addr, sizeof in.sin_addr);
        addr.port = ntohs(in.sin_port);
    } else {
        return STOQ_MALFORMED;
    }
    *out = addr;
    return STOQ_OK;
}

void stoq_addr_put(const struct stoq_addr *addr, uint8_t out[STOQ_ADDR_BYTES])
{
    memcpy(out, addr->ip, sizeof addr->ip);
    out[16] = (uint8_t)addr->port;
    out[17] = (uint8_t)(addr->port >> 8);
}

struct stoq_addr stoq_addr_get(const uint8_t bytes[STOQ_ADDR_BYTES])
{
    struct stoq_addr out = {.port = (uint16_t)(bytes[16] | bytes[17] << 8)};
    memcpy(out.ip, bytes, sizeof out.ip);
    return out;
}
