/*
 * The crash campaign. Record each workload once, then make the states that a crash may leave and
 * check each: see log.h, state.h, check.h. States are shared out to child processes in batches, so
 * that one that ends by a signal or hangs is a finding like any other.
 */
#include "check.h"
#include "work.h"

#include "tests/scratch.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BATCH 200
#define STATE_SECONDS_MAX 60
#define FINDINGS_SHOWN 5

struct campaign {
    uint64_t seed;
    unsigned states; /* of one workload */
    unsigned jobs;
    unsigned share; /* of jobs; only states that are this modulo jobs */
    bool ops_only;
    const char *logs; /* folder for them */
    const char *only;
    const char *replay; /* a log */
    uint32_t prefix;
    uint32_t variant;
    char scratch[64];
    struct crash_keys *keys;
    volatile uint32_t *at; /* shared: the state a child is at */
    unsigned done;
    unsigned found;
};

static bool fresh(const char *dir)
{
    (void)scratch_remove(dir);
    return mkdir(dir, 0700) == 0;
}

/* Make one state and check it. */
static bool check_state(const struct campaign *c, const struct crash_log *log, uint32_t prefix,
                        uint32_t variant, char why[512])
{
    char dir[128];
    char store[160];
    (void)snprintf(dir, sizeof dir, "%s/state%u", c->scratch, c->share);
    (void)snprintf(store, sizeof store, "%s/store", dir);
    enum crash_expect expect[CRASH_KEYS];
    crash_state_expect(log, prefix, expect);
    if (!fresh(dir) || !crash_state_make(log, prefix, variant, c->seed, dir)) {
        (void)snprintf(why, 512, "the state cannot be made in %s", dir);
        return false;
    }
    return crash_check(c->keys, store, expect, (prefix + variant) % 4 == 0, why);
}

/* State number i of a workload: each prefix in turn, and its variants. */
static void pick(const struct campaign *c, const struct crash_log *log, unsigned i,
                 uint32_t *prefix, uint32_t *variant)
{
    uint32_t prefixes = log->op_count - log->base_count;
    uint32_t each = (c->states + prefixes - 1) / prefixes;
    if (c->states >= prefixes * 4) {
        *prefix = log->base_count + 1 + i / each % prefixes;
        *variant = i % each;
        return;
    }
    /* A slice: prefixes spread evenly, and the variants in turn. */
    *prefix = log->base_count + 1 + (uint32_t)((uint64_t)i * prefixes / c->states);
    *variant = (uint32_t)((i * 7 + c->seed) % 16);
}

static unsigned state_count(const struct campaign *c, const struct crash_log *log)
{
    uint32_t prefixes = log->op_count - log->base_count;
    return c->states >= prefixes * 4 ? (c->states + prefixes - 1) / prefixes * prefixes : c->states;
}

static int batch(const struct campaign *c, const struct crash_log *log, unsigned from, unsigned to)
{
    int found = 0;
    for (unsigned i = from; i < to; i++) {
        uint32_t prefix;
        uint32_t variant;
        char why[512];
        pick(c, log, i, &prefix, &variant);
        *c->at = i;
        (void)alarm(STATE_SECONDS_MAX);
        if (i % c->jobs == c->share && !check_state(c, log, prefix, variant, why)) {
            (void)printf("   FOUND  prefix %u variant %u: %s\n", prefix, variant, why);
            found++;
        }
        if (found >= FINDINGS_SHOWN) {
            break;
        }
    }
    (void)fflush(stdout);
    return found;
}

/* A batch in a child. Returns its findings; a child that dies is one, and the rest is gone on with.
 */
static unsigned batch_apart(const struct campaign *c, const struct crash_log *log, unsigned from,
                            unsigned to)
{
    unsigned found = 0;
    while (from < to) {
        *c->at = from;
        (void)fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            _exit(batch(c, log, from, to));
        }
        int how = 0;
        if (pid < 0 || waitpid(pid, &how, 0) != pid) {
            return found + 1;
        }
        if (WIFEXITED(how)) {
            return found + (unsigned)WEXITSTATUS(how);
        }
        uint32_t prefix;
        uint32_t variant;
        pick(c, log, *c->at, &prefix, &variant);
        (void)printf("   FOUND  prefix %u variant %u: %s\n", prefix, variant,
                     WTERMSIG(how) == SIGALRM ? "it hangs" : strsignal(WTERMSIG(how)));
        found++;
        from = *c->at + 1;
    }
    return found;
}

static void list_ops(const struct crash_log *log)
{
    static const char *const name[] = {"create", "mkdir", "unlink", "rename", "write", "truncate",
                                       "sync",   "touch", "ack",    "kill",   "doubt", "lost"};
    for (uint32_t i = 0; i < log->op_count; i++) {
        const struct crash_op *op = &log->op[i];
        bool names = op->kind <= CRASH_RENAME;
        const char *what = op->kind == CRASH_SYNC && op->data_only ? "datasync" : name[op->kind];
        if (op->kind == CRASH_SYNC && op->durable) {
            continue;
        }
        (void)printf("%u %s %s%s%s %llu+%llu%s\n", i + 1, what,
                     names ? op->name : log->inode[op->inode].name,
                     op->kind == CRASH_RENAME ? " to " : "",
                     op->kind == CRASH_RENAME ? op->name2 : "", (unsigned long long)op->offset,
                     (unsigned long long)op->n, op->durable ? " dsync" : "");
    }
}

/*
 * Two orders that no state can show to matter as long as segments are never removed: a torn end's
 * cut is durable before anything else happens to the segment, and a name that took another's place
 * is durable before anything is put or acknowledged.
 */
static const char *order_broken(const struct crash_log *log)
{
    int cut = -1;   /* this segment waits for its sync */
    int moved = -1; /* this folder */
    for (uint32_t i = log->base_count; i < log->op_count; i++) {
        const struct crash_op *op = &log->op[i];
        if (op->kind == CRASH_SYNC) {
            cut = cut == (int)op->inode ? -1 : cut;
            moved = moved == (int)op->inode ? -1 : moved;
        } else if (op->kind == CRASH_TRUNCATE && log->op[i - 1].kind != CRASH_LOST &&
                   strstr(log->inode[op->inode].name, ".seg") != NULL) {
            cut = (int)op->inode; /* after a failed sync it is tidiness: all is written elsewhere */
        } else if (op->kind == CRASH_RENAME) {
            moved = (int)op->parent2;
        } else if (op->kind == CRASH_TOUCH || op->kind == CRASH_ACK) {
            if (cut >= 0 || moved >= 0) {
                return cut >= 0 ? "a segment was cut and not synced before it was used"
                                : "a name took another's place and was not synced";
            }
        }
    }
    return NULL;
}

static bool record(const struct campaign *c, const struct crash_work *work, struct crash_log *log)
{
    char dir[128];
    (void)snprintf(dir, sizeof dir, "%s/work", c->scratch);
    if (!fresh(dir) || !crash_record(log, dir) || !work->run(c->keys, dir)) {
        (void)crash_record(NULL, NULL);
        return false;
    }
    (void)crash_record(NULL, NULL);
    return log->overflow == 0;
}

static bool run_work(struct campaign *c, const struct crash_work *work)
{
    struct crash_log *log = crash_log_new();
    if (log == NULL || !record(c, work, log)) {
        (void)fprintf(stderr, "crash: %s cannot be recorded\n", work->name);
        crash_log_free(log);
        return false;
    }
    if (c->ops_only) {
        list_ops(log);
        crash_log_free(log);
        return true;
    }
    unsigned n = state_count(c, log);
    unsigned found = 0;
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s.log", c->logs == NULL ? c->scratch : c->logs,
                   work->name);
    if (order_broken(log) != NULL) {
        (void)printf("   FOUND  in the log itself: %s\n", order_broken(log));
        found++;
    }
    for (unsigned i = 0; i < n && found < FINDINGS_SHOWN; i += BATCH) {
        found += batch_apart(c, log, i, i + BATCH < n ? i + BATCH : n);
    }
    (void)printf("%-8s %5u operations %6u states %3u found\n", work->name, log->op_count, n, found);
    if ((found > 0 || c->logs != NULL) && crash_log_save(log, path) && found > 0) {
        (void)printf("   replay: crash -l %s -s %llu -p PREFIX -v VARIANT\n", path,
                     (unsigned long long)c->seed);
    }
    c->done += n;
    c->found += found;
    crash_log_free(log);
    return true;
}

static bool replay(struct campaign *c)
{
    struct crash_log *log = crash_log_new();
    char why[512] = "it holds";
    if (log == NULL || !crash_log_load(log, c->replay)) {
        (void)fprintf(stderr, "crash: %s is no log\n", c->replay);
        crash_log_free(log);
        return false;
    }
    if (c->ops_only) {
        list_ops(log);
        crash_log_free(log);
        return true;
    }
    bool good = c->prefix <= log->op_count && check_state(c, log, c->prefix, c->variant, why);
    (void)printf("prefix %u variant %u: %s\n", c->prefix, c->variant, why);
    crash_log_free(log);
    return good;
}

static int usage(void)
{
    (void)fprintf(stderr, "usage: crash [-n STATES] [-s SEED] [-w WORKLOAD] [-o FOLDER] [-t]\n"
                          "       crash -l LOG [-s SEED] -p PREFIX -v VARIANT | -t\n"
                          "-n of each workload (2500); -o keeps the logs; -t lists operations\n");
    return 2;
}

static bool parse(struct campaign *c, int argc, char **argv)
{
    int o;
    while ((o = getopt(argc, argv, "n:s:w:o:l:p:v:t")) != -1) {
        unsigned long long v = optarg == NULL ? 0 : strtoull(optarg, NULL, 10);
        switch (o) {
        case 'n':
            c->states = (unsigned)v;
            break;
        case 's':
            c->seed = v;
            break;
        case 'w':
            c->only = optarg;
            break;
        case 'o':
            c->logs = optarg;
            break;
        case 'l':
            c->replay = optarg;
            break;
        case 'p':
            c->prefix = (uint32_t)v;
            break;
        case 'v':
            c->variant = (uint32_t)v;
            break;
        case 't':
            c->ops_only = true;
            break;
        default:
            return false;
        }
    }
    return optind == argc && c->states > 0;
}

int main(int argc, char **argv)
{
    struct campaign c = {.seed = 1, .states = 2500, .jobs = 1};
    if (!parse(&c, argc, argv)) {
        return usage();
    }
    struct stat sb;
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(c.scratch, sizeof c.scratch, "%s/stoq-crash-XXXXXX",
                   stat("/dev/shm", &sb) == 0 ? "/dev/shm" : (tmp != NULL ? tmp : "/tmp"));
    c.keys = crash_keys_new();
    c.at = mmap(NULL, sizeof *c.at, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (c.keys == NULL || c.at == MAP_FAILED || mkdtemp(c.scratch) == NULL) {
        (void)fprintf(stderr, "crash: no scratch folder in /dev/shm or TMPDIR\n");
        return 1;
    }
    bool good = true;
    if (c.replay != NULL) {
        good = replay(&c);
    }
    for (unsigned i = 0; i < crash_work_count && c.replay == NULL; i++) {
        if (c.only == NULL || strcmp(c.only, crash_works[i].name) == 0) {
            good = run_work(&c, &crash_works[i]) && good;
        }
    }
    if (c.replay == NULL && !c.ops_only) {
        (void)printf("%u states, %u found\n", c.done, c.found);
    }
    crash_keys_free(c.keys);
    if (c.found == 0 || c.logs != NULL) {
        (void)scratch_remove(c.scratch); /* else the logs are in it */
    }
    return good && c.found == 0 ? 0 : 1;
}
