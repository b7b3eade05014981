/*
 * The tables. Round trips are CloudPing's between data centres, averaged over both directions; a pair
 * of nodes deviates from them by up to a quarter (the sum of four draws, sigma 0.12), and two of one
 * region are 2 to 20 ms apart. Session lengths are quantiles, 1/32 apart, and straight lines between
 * them; the longest is the 99.9th percentile.
 */
#include "sim/model.h"

#include <string.h>

#define QUANTILES 33

/* Per cent of all nodes: use1, usw2, sae1, euw1, euc1, mes1, afs1, aps1, apse1, ape1, apne1, apse2. */
static const uint8_t region_share[SIM_REGIONS] = {18, 10, 6, 10, 13, 2, 2, 8, 7, 13, 8, 3};

static const uint16_t region_rtt_ms[SIM_REGIONS][SIM_REGIONS] = {
    {4, 64, 114, 70, 92, 160, 232, 186, 212, 188, 146, 199},
    {64, 3, 174, 119, 141, 212, 274, 218, 162, 136, 98, 140},
    {114, 174, 1, 177, 204, 272, 343, 298, 322, 299, 257, 312},
    {70, 119, 177, 1, 27, 96, 158, 120, 182, 212, 201, 256},
    {92, 141, 204, 27, 2, 86, 161, 110, 158, 189, 223, 249},
    {160, 212, 272, 96, 86, 1, 145, 35, 86, 122, 162, 178},
    {232, 274, 343, 158, 161, 145, 3, 159, 203, 241, 356, 412},
    {186, 218, 298, 120, 110, 35, 159, 1, 56, 89, 125, 146},
    {212, 162, 322, 182, 158, 86, 203, 56, 4, 38, 69, 93},
    {188, 136, 299, 212, 189, 122, 241, 89, 38, 1, 46, 127},
    {146, 98, 257, 201, 223, 162, 356, 125, 69, 46, 4, 107},
    {199, 140, 312, 256, 249, 178, 412, 146, 93, 127, 107, 1},
};

static const struct {
    uint8_t share; /* per cent */
    uint32_t down_mbit_per_s;
    uint32_t up_mbit_per_s;
    stoq_ns rtt_min;
    stoq_ns rtt_max;
    uint8_t public_share;
} lines[SIM_ACCESS_CLASSES] = {
    [SIM_ACCESS_SERVER] = {30, 1000, 1000, STOQ_MS / 2, 3 * STOQ_MS / 2, 100},
    [SIM_ACCESS_FIBRE] = {25, 300, 300, 2 * STOQ_MS, 6 * STOQ_MS, 40},
    [SIM_ACCESS_CABLE] = {30, 250, 20, 6 * STOQ_MS, 16 * STOQ_MS, 30},
    [SIM_ACCESS_DSL] = {15, 40, 8, 18 * STOQ_MS, 48 * STOQ_MS, 5},
};

static const uint64_t session_ms[SIM_LAWS][QUANTILES] = {
    [SIM_LAW_IPFS] = {3,        45239,    145294,   290948,    480394,   713921,   992973,
                      1319851,  1697608,  2130044,  2621760,   3178253,  3806066,  4512977,
                      5308265,  6203060,  7210798,  8347854,   9634389,  11095542, 12763123,
                      14678077, 16894197, 19483887, 22547504,  26229290, 30746265, 36445032,
                      43926061, 54359887, 70503975, 101766555, 316425867},
    [SIM_LAW_DEBIAN] = {0,        290,      1876,     5701,     12718,    23971,   40640,
                        64077,    95852,    137811,   192137,   261435,   348839,  458146,
                        594001,   762136,   969698,   1225697,  1541636,  1932417, 2417655,
                        3023667,  3786548,  4757122,  6009259,  7654588,  9870318, 12956411,
                        17467026, 24564563, 37239611, 66993318, 411432445},
    [SIM_LAW_FLATOUT] = {0,       7259,     24160,    49417,    82852,   124624,  175090,
                         234758,  304276,   384437,   476192,   580668,  699205,  833390,
                         985118,  1156660,  1350759,  1570758,  1820782, 2105975, 2432858,
                         2809837, 3247975,  3762187,  4373189,  5110817, 6020068, 7172992,
                         8694768, 10830239, 14158543, 20666781, 66522760},
    [SIM_LAW_STABLE] = {6287625,    40240264,   55895250,  69379335,  82043581,  94406487,
                        106746130,  119244761,  132040700, 145251656, 158987177, 173356453,
                        188474100,  204465213,  221470473, 239651923, 259200000, 280342586,
                        303357096,  328587141,  356466165, 387551998, 422578984, 462539577,
                        508817657,  563417955,  629387121, 711652786, 818889656, 968366723,
                        1201974029, 1669587438, 5697782087},
    [SIM_LAW_FLAPPING] = {0,      127,    415,    839,    1395,   2084,   2912,  3885,  5014,
                          6311,   7789,   9467,   11364,  13506,  15920,  18643, 21715, 25188,
                          29126,  33607,  38730,  44624,  51458,  59458,  68942, 80361, 94400,
                          112151, 135509, 168175, 218878, 317481, 1002201},
};

static const char *const law_names[SIM_LAWS] = {
    [SIM_LAW_ALWAYS] = "always",   [SIM_LAW_IPFS] = "ipfs",     [SIM_LAW_DEBIAN] = "debian",
    [SIM_LAW_FLATOUT] = "flatout", [SIM_LAW_STABLE] = "stable", [SIM_LAW_FLAPPING] = "flapping",
};

uint32_t sim_region_draw(uint64_t draw)
{
    uint64_t left = draw % 100;
    uint32_t region = 0;
    while (left >= region_share[region]) {
        left -= region_share[region];
        region++;
    }
    return region;
}

/* From 1 - 0.25 to 1 + 0.25 in 2^-10 parts: four 8-bit draws, each of sigma 74. */
static uint64_t pair_factor(uint64_t draw)
{
    uint64_t sum = 0;
    for (int i = 0; i < 4; i++) {
        sum += (draw >> (8 * i)) & 0xff;
    }
    return 1024 - 255 + sum / 2;
}

stoq_ns sim_region_rtt(uint32_t a, uint32_t b, uint64_t pair_draw)
{
    stoq_ns rtt = region_rtt_ms[a][b] * STOQ_MS * pair_factor(pair_draw) / 1024;
    return a == b ? rtt + 2 * STOQ_MS + (pair_draw >> 32) % (18 * STOQ_MS) : rtt;
}

struct sim_line sim_line_draw(uint64_t class_draw, uint64_t rtt_draw, uint64_t public_draw)
{
    uint64_t left = class_draw % 100;
    uint32_t c = 0;
    while (left >= lines[c].share) {
        left -= lines[c].share;
        c++;
    }
    return (struct sim_line){
        .access = (enum sim_access)c,
        .down_bytes_per_s = lines[c].down_mbit_per_s * UINT64_C(125000),
        .up_bytes_per_s = lines[c].up_mbit_per_s * UINT64_C(125000),
        .rtt_ns = lines[c].rtt_min + rtt_draw % (lines[c].rtt_max - lines[c].rtt_min),
        .is_public = public_draw % 100 < lines[c].public_share,
    };
}

int sim_law_of(const char *name)
{
    for (int i = 0; i < SIM_LAWS; i++) {
        if (strcmp(law_names[i], name) == 0) {
            return i;
        }
    }
    return -1;
}

stoq_ns sim_law_draw(enum sim_law law, uint64_t draw)
{
    if (law == SIM_LAW_ALWAYS) {
        return STOQ_NEVER;
    }
    uint64_t at = draw >> 32; /* 32 parts of 2^27 */
    uint64_t i = at >> 27;
    uint64_t part = at & ((UINT64_C(1) << 27) - 1);
    uint64_t lo = session_ms[law][i];
    uint64_t hi = session_ms[law][i + 1];
    return (lo + (((hi - lo) * part) >> 27)) * STOQ_MS;
}
