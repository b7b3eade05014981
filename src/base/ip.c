/*
 * Ranges by the IANA special-purpose registries (RFC 6890). Of IPv6 only 2000::/3 has been given out; in it
 * 2002::/16 stands for IPv4 addresses of any kind (6to4, RFC 7526: not to be used).
 */
#include "base/ip.h"

#include <string.h>

enum { SHARED_V4 = 100, SIX_TO_FOUR = 0x2002, V4_SUBNET_BYTES = 3, V6_SUBNET_BYTES = 6 };

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_v4(const uint8_t ip[16])
{
    return memcmp(ip, mapped, sizeof mapped) == 0;
}

/* The first bits of its block, or 0. */
static uint64_t block_v4(const uint8_t v4[4])
{
    if (v4[0] == 10) {
        return 10;
    }
    if (v4[0] == 172 && (v4[1] & 0xf0) == 16) {
        return 172;
    }
    if (v4[0] == 192 && v4[1] == 168) {
        return 192;
    }
    return v4[0] == SHARED_V4 && (v4[1] & 0xc0) == 64 ? SHARED_V4 : 0;
}

static enum stoq_ip_scope scope_v4(const uint8_t v4[4])
{
    if (v4[0] == 127) {
        return STOQ_IP_LOOPBACK;
    }
    if (v4[0] == 0 || v4[0] >= 224) {
        return STOQ_IP_NOWHERE;
    }
    if (v4[0] == 169 && v4[1] == 254) {
        return STOQ_IP_LINK;
    }
    return block_v4(v4) != 0 ? STOQ_IP_PRIVATE : STOQ_IP_PUBLIC;
}

static bool is_v6_loopback(const uint8_t ip[16])
{
    static const uint8_t one[16] = {[15] = 1};
    return memcmp(ip, one, sizeof one) == 0;
}

enum stoq_ip_scope stoq_ip_scope(const uint8_t ip[16])
{
    if (is_v4(ip)) {
        return scope_v4(ip + sizeof mapped);
    }
    if (is_v6_loopback(ip)) {
        return STOQ_IP_LOOPBACK;
    }
    if (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80) {
        return STOQ_IP_LINK;
    }
    if ((ip[0] & 0xfe) == 0xfc) {
        return STOQ_IP_PRIVATE;
    }
    bool given_out = ip[0] >> 5 == 1 && (ip[0] << 8 | ip[1]) != SIX_TO_FOUR;
    return given_out ? STOQ_IP_PUBLIC : STOQ_IP_NOWHERE;
}

static uint64_t number(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        v = v << 8 | p[i];
    }
    return v;
}

uint64_t stoq_ip_block(const uint8_t ip[16])
{
    if (stoq_ip_scope(ip) != STOQ_IP_PRIVATE) {
        return 0;
    }
    return is_v4(ip) ? block_v4(ip + sizeof mapped) : number(ip, V6_SUBNET_BYTES);
}

uint64_t stoq_ip_subnet(const uint8_t ip[16])
{
    if (stoq_ip_scope(ip) != STOQ_IP_PUBLIC) {
        return 0;
    }
    return is_v4(ip) ? number(ip + sizeof mapped, V4_SUBNET_BYTES) | (uint64_t)1 << 62
                     : number(ip, V6_SUBNET_BYTES) | (uint64_t)1 << 63;
}
