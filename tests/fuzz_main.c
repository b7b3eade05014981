/*
 * Stands in for libFuzzer where it is not linked, so that every check runs every fuzz target: first each
 * file of the folders (or files) named on the command line and the empty input, then the same number of
 * mutations of each, drawn from a fixed seed. Each input is in memory of its exact size, so that the
 * address sanitizer sees a read past its end. A folder without files is a mistake and fails.
 *
 * A slow target runs with -m N: N mutations in all.
 *
 * When the target crashes, the line printed names the input; TARGET FILE@N replays the Nth mutation of
 * FILE alone, and TARGET -o OUT FILE@N writes it down, to be kept in the corpus.
 */
#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    INPUTS_MAX = 10000,
    INPUT_BYTES_MAX = 1 << 20,
    MUTATIONS_TOTAL = 5000, /* shared among the inputs: a check takes a second, not a minute */
    MUTATIONS_EACH_MIN = 20,
};

struct input {
    char *path;
    uint8_t *p;
    size_t n;
};

static struct input inputs[INPUTS_MAX];
static size_t input_count;

/* What runs now, for the signal handler. */
static char current[4200];

static void say_which(int sig)
{
    static const char before[] = "\nthe fuzz target failed on: ";
    (void)!write(2, before, sizeof before - 1);
    (void)!write(2, current, strlen(current));
    (void)!write(2, "\n", 1);
    struct sigaction plain = {.sa_handler = SIG_DFL};
    (void)sigaction(sig, &plain, NULL);
    (void)raise(sig);
}

static uint64_t draw(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static size_t draw_below(uint64_t *state, size_t n)
{
    return n == 0 ? 0 : (size_t)(draw(state) % n);
}

static bool add_file(const char *path)
{
    FILE *f = input_count < INPUTS_MAX ? fopen(path, "rb") : NULL;
    uint8_t *p = malloc(INPUT_BYTES_MAX);
    if (f == NULL || p == NULL) {
        perror(path);
        free(p);
        if (f != NULL) {
            (void)fclose(f);
        }
        return false;
    }
    size_t n = fread(p, 1, INPUT_BYTES_MAX, f);
    (void)fclose(f);
    uint8_t *fitted = realloc(p, n == 0 ? 1 : n);
    inputs[input_count++] = (struct input){strdup(path), fitted == NULL ? p : fitted, n};
    return true;
}

/* Files of the folder in order of their names. False when there are none. */
static bool add_folder(const char *folder)
{
    struct dirent **names = NULL;
    int n = scandir(folder, &names, NULL, alphasort);
    bool ok = n >= 0;
    size_t before = input_count;
    for (int i = 0; i < n; i++) {
        char path[4096];
        int len = snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        if (names[i]->d_name[0] != '.' && ok) {
            ok = len > 0 && (size_t)len < sizeof path && add_file(path);
        }
        free(names[i]);
    }
    free(names);
    return ok && input_count > before;
}

/* One edit of p, n bytes of INPUT_BYTES_MAX; returns the new length. */
static size_t edit(uint8_t *p, size_t n, uint64_t *state)
{
    static const uint8_t edges[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0x17, 0x18, 0x1b, 0x20, 0x2f};
    size_t at = draw_below(state, n + 1);
    size_t len = 1 + draw_below(state, draw(state) % 4 == 0 ? 64 : 8);
    const struct input *other = &inputs[draw_below(state, input_count)];
    switch (draw(state) % 8) {
    case 0: /* a bit */
        if (at < n) {
            p[at] ^= (uint8_t)(1u << draw(state) % 8);
        }
        return n;
    case 1: /* a byte */
        if (at < n) {
            p[at] = (uint8_t)draw(state);
        }
        return n;
    case 2: /* a byte that formats care about */
        if (at < n) {
            p[at] = edges[draw_below(state, sizeof edges)];
        }
        return n;
    case 3: /* a run of equal bytes, as lengths and counts take them */
        for (size_t i = at; i < n && i < at + len; i++) {
            p[i] = draw(state) % 2 == 0 ? 0xff : 0x00;
        }
        return n;
    case 4: /* cut short */
        return at;
    case 5: /* take out */
        len = len < n - at ? len : n - at;
        memmove(p + at, p + at + len, n - at - len);
        return n - len;
    case 6: /* put in, from somewhere in the input itself */
        if (n == 0 || n + len > INPUT_BYTES_MAX) {
            return n;
        }
        memmove(p + at + len, p + at, n - at);
        for (size_t i = 0; i < len; i++) {
            p[at + i] = p[draw_below(state, n)];
        }
        return n + len;
    default: /* this start, another input's end */
        if (other->n > 0) {
            size_t from = draw_below(state, other->n);
            size_t take =
                other->n - from < INPUT_BYTES_MAX - at ? other->n - from : INPUT_BYTES_MAX - at;
            memcpy(p + at, other->p + from, take);
            return at + take;
        }
        return n;
    }
}

/* The input'th input, as its number'th mutation when that is not 0, given to the target or to out. */
static bool run(size_t input, size_t number, const char *out)
{
    static uint8_t scratch[INPUT_BYTES_MAX];
    const struct input *in = &inputs[input];
    size_t n = in->n;
    memcpy(scratch, in->p, n);
    if (number > 0) {
        uint64_t state = (uint64_t)number << 32;
        for (const char *c = strrchr(in->path, '/') ? strrchr(in->path, '/') : in->path; *c != 0;
             c++) {
            state = (state ^ (uint8_t)*c) * 0x100000001b3u;
        }
        size_t edits = 1 + draw_below(&state, 4);
        for (size_t i = 0; i < edits; i++) {
            n = edit(scratch, n, &state);
        }
    }
    if (out != NULL) {
        FILE *f = fopen(out, "wb");
        bool ok = f != NULL && fwrite(scratch, 1, n, f) == n;
        return f != NULL && fclose(f) == 0 && ok;
    }
    (void)snprintf(current, sizeof current, "%s@%zu", in->path, number);
    uint8_t *data = malloc(n == 0 ? 1 : n);
    if (data == NULL) {
        return false;
    }
    memcpy(data, scratch, n);
    (void)LLVMFuzzerTestOneInput(data, n);
    free(data);
    return true;
}

/* FILE@N: that mutation, with the splices of the whole folder at hand, as they were when it failed. */
static bool run_one(char *arg, const char *out)
{
    char *at = strrchr(arg, '@');
    size_t number = (size_t)strtoul(at + 1, NULL, 10);
    *at = 0;
    char *slash = strrchr(arg, '/');
    char folder[4096];
    (void)snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - arg) : 1,
                   slash ? arg : ".");
    if (!add_folder(folder)) {
        return false;
    }
    for (size_t i = 0; i < input_count; i++) {
        const char *name = strrchr(inputs[i].path, '/') + 1;
        if (strcmp(name, slash ? slash + 1 : arg) == 0) {
            return run(i, number, out);
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        struct sigaction act = {.sa_handler = say_which}, old;
        /* A sanitizer's own handler says more than ours. */
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL) {
            (void)sigaction(signals[i], &act, NULL);
        }
    }
    const char *out = NULL;
    size_t total = MUTATIONS_TOTAL;
    for (int i = 1; i < argc; i++) {
        struct stat st;
        if (strcmp(argv[i], "-m") == 0 && i + 1 < argc) {
            total = strtoul(argv[++i], NULL, 10);
            continue;
        }
        if (strcmp(argv[i], "-o") == 0 && i + 1 < argc) {
            out = argv[++i];
            continue;
        }
        bool there = stat(argv[i], &st) == 0;
        if (!there && strrchr(argv[i], '@') != NULL) {
            return run_one(argv[i], out) ? 0 : 1;
        }
        if (!there || !(S_ISDIR(st.st_mode) ? add_folder(argv[i]) : add_file(argv[i]))) {
            (void)fprintf(stderr, "%s: nothing to replay\n", argv[i]);
            return 1;
        }
    }
    (void)snprintf(current, sizeof current, "the empty input");
    uint8_t none = 0;
    (void)LLVMFuzzerTestOneInput(&none, 0);
    size_t each = input_count == 0 ? 0 : total / input_count;
    each = each < MUTATIONS_EACH_MIN ? MUTATIONS_EACH_MIN : each;
    for (size_t i = 0; i < input_count; i++) {
        for (size_t number = 0; number <= each; number++) {
            (void)alarm(60); /* an input that takes that long is a finding too */
            if (!run(i, number, NULL)) {
                return 1;
            }
        }
    }
    (void)printf("%zu inputs, %zu mutations of each\n", input_count, each);
    for (size_t i = 0; i < input_count; i++) {
        free(inputs[i].path);
        free(inputs[i].p);
    }
    return 0;
}
