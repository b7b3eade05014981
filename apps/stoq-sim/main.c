/*
 * stoq-sim: runs one simulated world and prints what came of it, one `name value` a line. What decides
 * is in src/sim; here are options and output.
 */
#include "sim/sim.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An option that is a number, and what one of it is worth. */
struct number {
    const char *name;
    uint64_t *value;
    uint64_t unit;
    const char *help;
};

#define NUMBERS_MAX 24

struct options {
    struct sim_config cfg;
    uint64_t seeds;
    uint64_t fetchers;
    uint64_t neighbours;
    uint64_t loss_ppm;
    uint64_t kinds[SIM_KINDS];
    bool is_curve;
    struct number numbers[NUMBERS_MAX];
};

static void make_numbers(struct options *o)
{
    struct sim_config *c = &o->cfg;
    const struct number numbers[NUMBERS_MAX] = {
        {"--seed", &c->seed, 1, "of every draw"},
        {"--seeds", &o->seeds, 1, "nodes that have the package"},
        {"--fetchers", &o->fetchers, 1, "nodes that want it"},
        {"--neighbours", &o->neighbours, 1, "sources that each is told; 0: up to 64"},
        {"--package-kib", &c->package_bytes, STOQ_KIB, "size of the package"},
        {"--chunk-bytes", &c->chunk_bytes, 1, "of a chunk on average"},
        {"--up-kbps", &c->up_bytes_per_s, 1000, "kB/s of every uplink; 0: access lines"},
        {"--down-kbps", &c->down_bytes_per_s, 1000, "likewise of downlinks"},
        {"--rtt-us", &c->rtt_ns, 1000, "between any two; 0: regions"},
        {"--loss-ppm", &o->loss_ppm, 1, "packets lost of a million"},
        {"--arrive-ms", &c->arrive_within_ns, STOQ_MS, "fetchers begin within this time"},
        {"--stall", &o->kinds[SIM_STALL], 1, "seeds that stall"},
        {"--lie", &o->kinds[SIM_LIE], 1, "that lie"},
        {"--die", &o->kinds[SIM_DIE], 1, "that die"},
        {"--throttle", &o->kinds[SIM_THROTTLE], 1, "that throttle to a hundredth"},
        {"--fault-ms", &c->fault_at, STOQ_MS, "when they begin"},
        {"--partition-ms", &c->partition_at, STOQ_MS, "half of the regions is cut off"},
        {"--partition-for-ms", &c->partition_for, STOQ_MS, "for so long"},
        {"--until-ms", &c->until, STOQ_MS, "give up then"},
        {"--flip-draw", &c->flip_draw, 1, "turn this draw around"},
        {"--curve-ms", &c->curve_step, STOQ_MS, "print how much is there, every so often"},
    };
    memcpy(o->numbers, numbers, sizeof numbers);
}

static int usage(const struct options *o, FILE *out)
{
    (void)fputs("usage: stoq-sim [--deep] [--nat] [--know-seeds] [--law LAW] [--canary NAME] "
                "[--dial KIND] [--NAME NUMBER]...\n"
                "       stoq-sim --costs        what the transport and a daemon cost\n\n",
                out);
    for (const struct number *n = o->numbers; n->name != NULL; n++) {
        (void)fprintf(out, "  %-20s %s\n", n->name, n->help);
    }
    (void)fputs(
        "  --law                always ipfs debian flatout stable flapping\n"
        "  --dial               cold cold-pure cold-768 resumed (docs/SIMULATOR.md section 7)\n"
        "  --canary             unverified leak over-cap lost-bytes early\n\n"
        "A checker's finding is exit code 1, a mistake in the options 2.\n",
        out);
    return out == stdout ? 0 : 2;
}

static bool take_number(struct options *o, const char *name, const char *text)
{
    for (const struct number *n = o->numbers; n->name != NULL; n++) {
        if (strcmp(n->name, name) == 0 && text != NULL) {
            char *end;
            errno = 0;
            uint64_t v = strtoull(text, &end, 10);
            bool fits = errno == 0 && end != text && *end == '\0' && v <= UINT64_MAX / n->unit;
            *n->value = v * n->unit;
            return fits;
        }
    }
    return false;
}

static bool take_word(struct options *o, const char *name, const char *text)
{
    if (text == NULL) {
        return false;
    }
    int law = strcmp(name, "--law") == 0 ? sim_law_of(text) : -1;
    int canary = strcmp(name, "--canary") == 0 ? sim_canary_of(text) : -1;
    int dial = strcmp(name, "--dial") == 0 ? sim_cost_of(text) : -1;
    o->cfg.law = law >= 0 ? (enum sim_law)law : o->cfg.law;
    o->cfg.canary = canary >= 0 ? (enum sim_canary)canary : o->cfg.canary;
    o->cfg.dial = dial >= 0 ? (enum sim_cost_kind)dial : o->cfg.dial;
    return law >= 0 || canary >= 0 || dial > 0;
}

static bool parse(struct options *o, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--deep") == 0) {
            o->cfg.width = SIM_DEEP;
        } else if (strcmp(argv[i], "--nat") == 0) {
            o->cfg.nat = true;
        } else if (strcmp(argv[i], "--know-seeds") == 0) {
            o->cfg.all_know_seeds = true;
        } else if (take_number(o, argv[i], next) || take_word(o, argv[i], next)) {
            i++;
        } else {
            (void)fprintf(stderr, "stoq-sim: what is %s %s?\n", argv[i], next == NULL ? "" : next);
            return false;
        }
    }
    o->cfg.seeds = (uint32_t)o->seeds;
    o->cfg.fetchers = (uint32_t)o->fetchers;
    o->cfg.neighbours = (uint32_t)o->neighbours;
    o->cfg.loss_ppm = (uint32_t)o->loss_ppm;
    for (int k = 0; k < SIM_KINDS; k++) {
        o->cfg.kinds[k] = (uint32_t)o->kinds[k];
    }
    return true;
}

static void line(const char *name, uint64_t value)
{
    (void)printf("%s %" PRIu64 "\n", name, value);
}

static void print(const struct options *o, const struct sim_result *r)
{
    (void)printf("trace %016" PRIx64 "\n", r->trace);
    line("events", r->events);
    line("finished", r->finished);
    line("failed", r->failed);
    line("first_ms", r->first_ns / STOQ_MS);
    line("median_ms", r->median_ns / STOQ_MS);
    line("last_ms", r->last_ns / STOQ_MS);
    line("fluid_ms", r->fluid_ns / STOQ_MS);
    line("last_per_fluid_percent", r->fluid_ns == 0 ? 0 : r->last_ns * 100 / r->fluid_ns);
    line("package_bytes", r->package_bytes);
    line("package_chunks", r->package_chunks);
    line("sent_bytes", r->bytes_sent);
    line("seed_copies_percent", r->bytes_seeds * 100 / r->package_bytes);
    line("duplicate_bytes", r->bytes_duplicate);
    line("requests", r->requests);
    line("served_early", r->served_early);
    line("bad_chunks", r->bad_chunks);
    line("bad_of_one_max", r->bad_of_one_max);
    line("charges", r->charges);
    line("virtual_ms", r->ended_at / STOQ_MS);
    for (uint32_t i = 0; i < r->curve_count; i++) {
        (void)printf("curve %" PRIu64 " %" PRIu64 "\n", i * o->cfg.curve_step / STOQ_MS,
                     r->curve_bytes[i]);
    }
    line("faults", r->faults);
    if (r->faults > 0) {
        (void)printf("fault %s\n", r->fault);
    }
}

static void print_costs(void)
{
    for (int kind = 0; kind < SIM_COSTS; kind++) {
        const struct sim_cost *c = sim_cost((enum sim_cost_kind)kind);
        (void)printf(
            "%s round_trips_percent %u asker_datagrams %u asker_bytes %u asked_datagrams %u "
            "asked_bytes %u asker_cpu_ns %" PRIu64 " asked_cpu_ns %" PRIu64
            " asker_instructions %u asked_instructions %u\n",
            sim_cost_name((enum sim_cost_kind)kind), c->rtt_percent, c->asker.datagrams,
            c->asker.bytes, c->asked.datagrams, c->asked.bytes, sim_cost_cpu(c, false),
            sim_cost_cpu(c, true), c->asker.instructions, c->asked.instructions);
    }
    for (int what = 0; what < SIM_COST_DAEMONS; what++) {
        enum sim_cost_daemon daemon = (enum sim_cost_daemon)what;
        (void)printf("daemon-%s cpu_ns %u instructions %u\n", sim_cost_daemon_name(daemon),
                     sim_cost_daemon_ns(daemon), sim_cost_daemon_instructions(daemon));
    }
    (void)printf("unit cpu_ns %u\n", SIM_COST_UNIT_NS);
}

int main(int argc, char **argv)
{
    static struct options o = {
        .seeds = 1, .fetchers = 20, .cfg = {.seed = 1, .package_bytes = 16 * STOQ_MIB}};
    static struct sim_result r;
    make_numbers(&o);
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        return usage(&o, stdout);
    }
    if (argc == 2 && strcmp(argv[1], "--costs") == 0) {
        print_costs();
        return 0;
    }
    if (!parse(&o, argc, argv)) {
        return usage(&o, stderr);
    }
    if (sim_run(&o.cfg, &r) != STOQ_OK) {
        (void)fputs("stoq-sim: a world that makes no sense\n", stderr);
        return 2;
    }
    print(&o, &r);
    return r.faults > 0 ? 1 : 0;
}
