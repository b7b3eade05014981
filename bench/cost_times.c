/*
 * What exchanges cost on our transport, beside the table that the simulators use (src/sim/cost.h): round
 * trips, datagrams and bytes in memory and virtual time, processor time of each side as the least of RUNS
 * runs; and what the kernel takes for a datagram, over [::1], the least of so many batches.
 *
 * usage: cost_times [RUNS]     [200]
 *        cost_times --once N   each kind N times, in the order that it prints, and nothing else
 */
#include "sim/cost_harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <netinet/in.h>

#define BATCH 200

static uint64_t now_cpu(void)
{
    struct timespec t;
    return clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) != 0
               ? 0
               : (uint64_t)t.tv_sec * STOQ_SEC + (uint64_t)t.tv_nsec;
}

/* Send and receive one datagram, together; 0: it failed. */
static stoq_ns socket_ns(unsigned runs)
{
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t n = sizeof at;
    char bytes[1200] = {0};
    stoq_ns least = STOQ_NEVER;
    int from = socket(AF_INET6, SOCK_DGRAM, 0);
    int to = socket(AF_INET6, SOCK_DGRAM, 0);
    bool is_good = from >= 0 && to >= 0 && bind(to, (struct sockaddr *)&at, n) == 0 &&
                   getsockname(to, (struct sockaddr *)&at, &n) == 0;
    for (unsigned run = 0; run < runs && is_good; run++) {
        uint64_t began = now_cpu();
        for (int i = 0; i < BATCH && is_good; i++) {
            is_good =
                sendto(from, bytes, sizeof bytes, 0, (struct sockaddr *)&at, n) == sizeof bytes &&
                recv(to, bytes, sizeof bytes, 0) == sizeof bytes;
        }
        uint64_t took = (now_cpu() - began) / BATCH;
        least = took < least ? took : least;
    }
    (void)close(from);
    (void)close(to);
    return is_good ? least : 0;
}

static void line(const char *kind, const char *what, uint64_t measured, uint64_t table,
                 const char *unit)
{
    (void)printf("cost_%s_%s %llu %s\ncost_%s_%s_table %llu %s\n", kind, what,
                 (unsigned long long)measured, unit, kind, what, (unsigned long long)table, unit);
}

static void print(enum sim_cost_kind kind, const struct cost_times *t)
{
    const struct sim_cost *table = sim_cost(kind);
    const char *name = sim_cost_name(kind);
    struct sim_cost c;
    cost_measure(kind, &c);
    line(name, "round_trips", c.rtt_percent, table->rtt_percent, "%");
    line(name, "asker_datagrams", c.asker.datagrams, table->asker.datagrams, "datagrams");
    line(name, "asker_sent", c.asker.bytes, table->asker.bytes, "bytes");
    line(name, "asked_datagrams", c.asked.datagrams, table->asked.datagrams, "datagrams");
    line(name, "asked_sent", c.asked.bytes, table->asked.bytes, "bytes");
    line(name, "asker_cpu", t->asker[kind], cost_expected(table->asker.cpu_ns, t->unit), "ns");
    line(name, "asked_cpu", t->asked[kind], cost_expected(table->asked.cpu_ns, t->unit), "ns");
}

/* For who counts instructions from outside. */
static int once(unsigned long runs)
{
    for (unsigned long run = 0; run < runs; run++) {
        for (int kind = 0; kind < SIM_COSTS; kind++) {
            struct sim_cost c;
            cost_measure((enum sim_cost_kind)kind, &c);
            (void)puts(sim_cost_name((enum sim_cost_kind)kind));
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct cost_times times;
    if (argc == 3 && strcmp(argv[1], "--once") == 0) {
        return once(strtoul(argv[2], NULL, 10));
    }
    unsigned runs = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 200;
    if (runs == 0) {
        (void)fputs("usage: cost_times [RUNS]\n", stderr);
        return 2;
    }
    cost_times_init(&times);
    cost_time(&times, runs);
    line("unit", "cpu", times.unit, SIM_COST_UNIT_NS, "ns");
    line("socket", "cpu", socket_ns(runs) / 2, SIM_COST_SOCKET_NS, "ns");
    for (int kind = 0; kind < SIM_COSTS; kind++) {
        print((enum sim_cost_kind)kind, &times);
    }
    return 0;
}
