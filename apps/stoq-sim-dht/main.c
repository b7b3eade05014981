/*
 * stoq-sim-dht: the simulator's DHT, one run; what came of it, one `name value` a line. What decides is in
 * src/sim/dht_*; here are options and output.
 */
#include "sim/dht_run.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

struct number {
    const char *name;
    uint64_t unit;
    uint64_t max;
    uint64_t value;
    const char *help;
};

enum {
    SEED,
    NODES,
    WARM,
    DEAD,
    LOOKUPS,
    KEYS,
    FINDS,
    PER_S,
    SURVIVE,
    PACKAGES,
    KILL,
    LOSS,
    EXTRA,
    ROOM,
    BITS,
    SLOT,
    K,
    ALPHA,
    PATHS,
    CANDIDATES,
    TTL,
    FOES,
    SYBILS,
    FLIP,
    IDS,
    NUMBERS,
};

static struct number numbers[NUMBERS] = {
    [SEED] = {"--seed", 1, UINT64_MAX, 1, "of every draw"},
    [NODES] = {"--nodes", 1, 1u << 20, 1000, "there at all times"},
    [WARM] = {"--warm-s", STOQ_SEC, 1u << 20, 0, "until something is measured [900]"},
    [DEAD] = {"--dead", 1, 99, 0, "per cent of all nodes, gone when measuring begins"},
    [LOOKUPS] = {"--lookups", 1, 1u << 24, 0, "of random keys"},
    [KEYS] = {"--keys", 1, 1u << 20, 0, "announced, one by a node"},
    [FINDS] = {"--finds", 1, 1u << 24, 0, "lookups for their records"},
    [PER_S] = {"--per-s", 1, 10000, 0, "lookups begun in a second [20]"},
    [SURVIVE] = {"--survive-s", STOQ_SEC, 1u << 20, 0, "count the holders left after it"},
    [PACKAGES] = {"--packages", 1, 1u << 20, 0, "that one node announces at once"},
    [KILL] = {"--kill", 1, 99, 0, "it when so many per cent are announced; it starts again"},
    [LOSS] = {"--loss-ppm", 1, 499999, 10000, "messages lost of a million"},
    [EXTRA] = {"--extra-rtts", 1, 8, 0, "round trips that a call takes besides its own"},
    [ROOM] = {"--room", 1, 20, 0, "contacts in an answer [5, as in a datagram]"},
    [BITS] = {"--bits", 1, 4, 0, "of a level of the table: 1, 2 or 4 [4]"},
    [SLOT] = {"--slot", 1, 20, 0, "contacts of one slot"},
    [K] = {"--k", 1, 20, 0, "holders of a record"},
    [ALPHA] = {"--alpha", 1, 64, 0, "calls of a lookup at a time"},
    [PATHS] = {"--paths", 1, 8, 0, "that a lookup begins with"},
    [CANDIDATES] = {"--candidates", 1, 16, 0,
                    "for a contact of a first table, the nearest gets it"},
    [TTL] = {"--ttl-s", 1, 86400, 0, "of a newcomer's record [3600]"},
    [FOES] = {"--foes", 1, 99, 0, "per cent of all nodes"},
    [SYBILS] = {"--sybils", 1, 4096, 0, "around the first key"},
    [FLIP] = {"--flip-draw", 1, UINT64_MAX, 0, "turn this draw around"},
    [IDS] = {"--ids", 1, UINT64_MAX, 0, "other node ids, everything else as it was"},
};

static int usage(FILE *out)
{
    (void)fputs(
        "usage: stoq-sim-dht [--law LAW] [--foe FOE] [--without DEFENCE]... [--by KIND] "
        "[--still] [--returning] [--any-rtt]\n                    [--patient] [--plain] [--each] "
        "[--NAME NUMBER]...\n\n",
        out);
    for (int i = 0; i < NUMBERS; i++) {
        (void)fprintf(out, "  %-20s %s\n", numbers[i].name, numbers[i].help);
    }
    (void)fputs(
        "  --law                always ipfs debian flatout stable flapping\n"
        "  --foe                none liars poison sybils forgers\n"
        "  --without            token caps signature paths clock order proof key crowd\n"
        "  --by                 datagram cold resumed early warm ...: how calls travel\n"
        "  --still              nobody comes or leaves, cores are made when they are needed\n"
        "  --returning          who leaves comes back as he was, nobody else comes\n"
        "  --any-rtt            near contacts are not preferred\n"
        "  --patient            a call is waited for until it fails\n"
        "  --plain              lookups and holders as the Kademlia paper has them\n"
        "  --each               print every pair's round trip and every lookup's time, too\n",
        out);
    return out == stdout ? 0 : 2;
}

static bool take_number(const char *name, const char *text)
{
    for (int i = 0; i < NUMBERS; i++) {
        if (strcmp(numbers[i].name, name) == 0) {
            char *end;
            errno = 0;
            numbers[i].value = strtoull(text, &end, 10);
            return errno == 0 && end != text && *end == '\0' && numbers[i].value <= numbers[i].max;
        }
    }
    return false;
}

static unsigned defence(const char *name)
{
    static const char *const names[] = {"token", "caps",  "signature", "paths", "clock",
                                        "order", "proof", "key",       "crowd"};
    for (unsigned i = 0; i < STOQ_COUNT(names); i++) {
        if (strcmp(names[i], name) == 0) {
            return 1u << i;
        }
    }
    return 0;
}

static bool take_word(struct sim_dht_config *cfg, const char *name, const char *text)
{
    int law = strcmp(name, "--law") == 0 ? sim_law_of(text) : -1;
    int foe = strcmp(name, "--foe") == 0 ? sim_dht_foe_of(text) : -1;
    int by = strcmp(name, "--by") == 0 ? sim_cost_of(text) : -1;
    unsigned without = strcmp(name, "--without") == 0 ? defence(text) : 0;
    cfg->by = by >= 0 ? (enum sim_cost_kind)by : cfg->by;
    cfg->law = law >= 0 ? (enum sim_law)law : cfg->law;
    cfg->foe = foe >= 0 ? (enum sim_dht_foe)foe : cfg->foe;
    cfg->without = (enum stoq_dht_without)((unsigned)cfg->without | without);
    return law >= 0 || foe >= 0 || by >= 0 || without != 0;
}

static void print_path(void *user, uint32_t a, uint32_t b, stoq_ns rtt)
{
    (void)user;
    (void)printf("rtt_us %" PRIu32 " %" PRIu32 " %" PRIu64 "\n", a, b, rtt / 1000);
}

static void print_lookup(void *user, stoq_ns took)
{
    (void)user;
    (void)printf("took_us %" PRIu64 "\n", took / 1000);
}

static bool take_switch(struct sim_dht_config *cfg, const char *name)
{
    bool *const places[] = {&cfg->is_still, &cfg->is_returning, &cfg->shape.any_rtt,
                            &cfg->shape.patient, &cfg->shape.plain};
    static const char *const names[] = {"--still", "--returning", "--any-rtt", "--patient",
                                        "--plain"};
    for (unsigned i = 0; i < STOQ_COUNT(names); i++) {
        if (strcmp(names[i], name) == 0) {
            *places[i] = true;
            return true;
        }
    }
    if (strcmp(name, "--each") == 0) {
        cfg->path = print_path;
        cfg->looked = print_lookup;
        return true;
    }
    return false;
}

static bool parse(struct sim_dht_config *cfg, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : "";
        if (take_switch(cfg, argv[i])) {
            continue;
        }
        if (take_number(argv[i], next) || take_word(cfg, argv[i], next)) {
            i++;
        } else {
            (void)fprintf(stderr, "stoq-sim-dht: what is %s %s?\n", argv[i], next);
            return false;
        }
    }
    return true;
}

static void fill(struct sim_dht_config *cfg)
{
    cfg->seed = numbers[SEED].value;
    cfg->nodes = (uint32_t)numbers[NODES].value;
    cfg->warm_ns = numbers[WARM].value * STOQ_SEC;
    cfg->dead_percent = (uint32_t)numbers[DEAD].value;
    cfg->lookups = (uint32_t)numbers[LOOKUPS].value;
    cfg->keys = (uint32_t)numbers[KEYS].value;
    cfg->finds = (uint32_t)numbers[FINDS].value;
    cfg->per_s = (uint32_t)numbers[PER_S].value;
    cfg->survive_ns = numbers[SURVIVE].value * STOQ_SEC;
    cfg->packages = (uint32_t)numbers[PACKAGES].value;
    cfg->kill_percent = (uint32_t)numbers[KILL].value;
    cfg->loss_ppm = (uint32_t)numbers[LOSS].value;
    cfg->extra_rtts = (uint32_t)numbers[EXTRA].value;
    cfg->room = (uint32_t)numbers[ROOM].value;
    cfg->shape.digit_bits = (uint8_t)numbers[BITS].value;
    cfg->shape.slot = (uint8_t)numbers[SLOT].value;
    cfg->shape.k = (uint8_t)numbers[K].value;
    cfg->shape.alpha = (uint8_t)numbers[ALPHA].value;
    cfg->shape.paths = (uint8_t)numbers[PATHS].value;
    cfg->candidates = (uint32_t)numbers[CANDIDATES].value;
    cfg->shape.ttl_s = (uint32_t)numbers[TTL].value;
    cfg->foe_percent = (uint32_t)numbers[FOES].value;
    cfg->sybils = (uint32_t)numbers[SYBILS].value;
    cfg->flip_draw = numbers[FLIP].value;
    cfg->ids = numbers[IDS].value;
}

static void line(const char *name, uint64_t value)
{
    (void)printf("%s %" PRIu64 "\n", name, value);
}

/* Hundredths of a ratio. */
static void ratio(const char *name, uint64_t sum, uint64_t of)
{
    uint64_t v = of == 0 ? 0 : sum * 100 / of;
    (void)printf("%s %" PRIu64 ".%02" PRIu64 "\n", name, v / 100, v % 100);
}

static void print_times(const char *name, const struct sim_dht_times *t)
{
    (void)printf("%s_p50_ms %" PRIu64 "\n%s_p90_ms %" PRIu64 "\n%s_p99_ms %" PRIu64 "\n", name,
                 t->p50 / STOQ_MS, name, t->p90 / STOQ_MS, name, t->p99 / STOQ_MS);
}

static void print_bulk(const struct sim_dht_config *cfg, const struct sim_dht_result *r)
{
    line("bulk_lookups", r->bulk_lookups);
    ratio("bulk_lookups_percent", r->bulk_lookups * 100, cfg->packages);
    line("bulk_s", r->bulk_ns / STOQ_SEC);
    for (int i = 0; i < 10; i++) {
        (void)printf("bulk_%d_percent_s %" PRIu64 "\n", (i + 1) * 10,
                     r->bulk_tenth_ns[i] / STOQ_SEC);
    }
    line("bulk_at_kill", r->bulk_at_kill);
    line("bulk_again", r->bulk_again);
    line("bulk_kept_right", r->bulk_kept_right);
}

static void print_attacks(const struct sim_dht_result *r)
{
    for (int i = SIM_DHT_FORGED; i < SIM_DHT_WRONGS; i++) {
        const struct sim_dht_attack *a = &r->attacks[i];
        const char *name = sim_dht_wrong_str((enum sim_dht_wrong)i);
        (void)printf("%s_twins_taken %" PRIu32 "\n%s_sent %" PRIu32 "\n%s_answered %" PRIu32
                     "\n%s_accepted %" PRIu32 "\n%s_returned %" PRIu32 "\n",
                     name, a->twins, name, a->sent, name, a->answered, name, a->accepted, name,
                     a->returned);
    }
    line("answers_not_signed", r->bad_answers);
    for (int i = 0; i < STOQ_DHT_REFUSALS; i++) {
        (void)printf("refused_%s %" PRIu64 "\n", stoq_dht_refusal_str((enum stoq_dht_refusal)i),
                     r->refused[i]);
    }
}

static void print(const struct sim_dht_config *cfg, const struct sim_dht_result *r)
{
    struct rusage use;
    (void)printf("trace %016" PRIx64 "\n", r->trace);
    line("events", r->events);
    line("sent_bytes", r->bytes);
    line("sent_again", r->resent);
    line("live", r->live);
    line("came", r->came);
    ratio("contacts_per_node", r->contacts, r->cores);
    ratio("bytes_per_core", r->core_bytes, r->cores);
    ratio("contacts_dead_percent", r->contacts_dead * 100, r->contacts);
    ratio("contacts_foe_percent", r->contacts_foe * 100, r->contacts);
    ratio("foes_percent", (uint64_t)r->foes * 100, r->foes + r->others);
    if (r->lookups > 0) {
        line("lookups", r->lookups);
        ratio("exact_percent", (uint64_t)r->exact * 100, r->lookups);
        ratio("calls", r->calls, r->lookups);
        ratio("silent", r->silent, r->lookups);
        ratio("hops", r->hops, r->lookups);
        line("hops_p50", r->nearest.p50);
        line("hops_p90", r->nearest.p90);
        line("hops_all_p50", r->all.p50);
        line("hops_all_p95", r->all.p95);
        line("hops_walk_p50", r->walk.p50);
        line("hops_walk_p90", r->walk.p90);
        print_times("lookup", &r->look);
    }
    if (cfg->keys > 0) {
        line("keys", r->keys);
        line("enough", r->enough);
        ratio("got", r->got, r->keys);
        ratio("holding", r->holding, cfg->keys);
        ratio("survived", r->survived, cfg->keys);
        print_times("announce", &r->announce);
    }
    if (cfg->packages > 0) {
        print_bulk(cfg, r);
    }
    if (r->finds > 0) {
        line("finds", r->finds);
        line("found", r->found);
        line("untrue", r->untrue);
        ratio("find_calls", r->find_calls, r->finds);
        ratio("find_hops", r->find_hops, r->finds);
        print_times("first_record", &r->find);
    }
    if (cfg->foe == SIM_DHT_FOE_FORGERS) {
        print_attacks(r);
    }
    if (getrusage(RUSAGE_SELF, &use) == 0) {
        line("rss_bytes_per_node", (uint64_t)use.ru_maxrss * 1024 / cfg->nodes);
    }
}

int main(int argc, char **argv)
{
    static struct sim_dht_result r;
    struct sim_dht_config cfg = {0};
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        return usage(stdout);
    }
    if (!parse(&cfg, argc, argv)) {
        return usage(stderr);
    }
    fill(&cfg);
    if (sim_dht_run(&cfg, &r) != STOQ_OK) {
        (void)fputs("stoq-sim-dht: a world that makes no sense\n", stderr);
        return 2;
    }
    print(&cfg, &r);
    return 0;
}
