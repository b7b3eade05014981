/*
 * The rate is a mean that forgets over some three seconds: steady enough to read, and soon right after a
 * change. The time left is what remains at that rate.
 */
#include "progress.h"

#include "human.h"
#include "os/sys.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DRAW_EVERY (STOQ_SEC / 10)
#define RATE_SECONDS 3.0

enum { LINE_MAX_BYTES = 200, COLUMNS_DEFAULT = 80 };

void progress_init(struct progress *p, const struct cmd *cmd)
{
    memset(p, 0, sizeof *p);
    p->mode = cmd->progress;
    if (p->mode == CMD_PROGRESS_AUTO) {
        const char *term = getenv("TERM");
        bool dumb = term == NULL || strcmp(term, "dumb") == 0;
        p->mode = isatty(STDERR_FILENO) == 1 && !dumb && !cmd->quiet ? CMD_PROGRESS_ALWAYS
                                                                     : CMD_PROGRESS_NEVER;
    }
}

static size_t columns(void)
{
    struct winsize size;
    const char *text = getenv("COLUMNS");
    long n = text != NULL ? strtol(text, NULL, 10) : 0;
    if (n <= 0 && ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0) {
        n = size.ws_col;
    }
    return n >= 20 && n < LINE_MAX_BYTES ? (size_t)n : COLUMNS_DEFAULT;
}

static void measure(struct progress *p, const char *phase, uint64_t bytes, stoq_ns now)
{
    if (strncmp(p->phase, phase, sizeof p->phase - 1) != 0 || bytes < p->rate_bytes) {
        (void)snprintf(p->phase, sizeof p->phase, "%s", phase);
        p->phase_at = now;
        p->phase_bytes = bytes;
        p->rate_at = now;
        p->rate_bytes = bytes;
        p->rate = 0;
        return;
    }
    double seconds = (double)(now - p->rate_at) / 1e9;
    if (seconds < 0.05) {
        return;
    }
    double fresh = (double)(bytes - p->rate_bytes) / seconds;
    double old = p->rate_at == p->phase_at ? 0 : RATE_SECONDS / (RATE_SECONDS + seconds);
    p->rate = old * p->rate + (1 - old) * fresh;
    p->rate_at = now;
    p->rate_bytes = bytes;
}

static void append(char line[LINE_MAX_BYTES], const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void append(char line[LINE_MAX_BYTES], const char *fmt, ...)
{
    size_t n = strlen(line);
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(line + n, LINE_MAX_BYTES - n, fmt, ap);
    va_end(ap);
}

static void draw(struct progress *p, const json_t *event, uint64_t bytes, uint64_t total)
{
    char line[LINE_MAX_BYTES] = "";
    char a[HUMAN_CAP];
    char b[HUMAN_CAP];
    append(line, "%-8s", p->phase);
    if (total > 0) {
        append(line, " %3.0f%%  %s of %s", 100.0 * (double)bytes / (double)total,
               human_bytes(a, bytes), human_bytes(b, total));
    } else if (bytes > 0) {
        append(line, " %s", human_bytes(a, bytes));
    } else {
        append(line, " %llu entries", (unsigned long long)stoq_json_u64(event, "entries", 0));
    }
    if (p->rate > 1) {
        append(line, "  %s/s", human_bytes(a, (uint64_t)p->rate));
    }
    if (p->rate > 1 && total > bytes) {
        append(line, "  %s left", human_time(a, (double)(total - bytes) / p->rate));
    }
    if (json_object_get(event, "sources") != NULL) {
        uint64_t n = stoq_json_u64(event, "sources", 0);
        append(line, "  %llu source%s", (unsigned long long)n, n == 1 ? "" : "s");
    }
    size_t width = columns() - 1;
    if (strlen(line) > width) {
        line[width] = '\0';
    }
    (void)fprintf(stderr, "\r%s\033[K", line);
    (void)fflush(stderr);
    p->line_open = true;
}

void progress_event(struct progress *p, const json_t *event)
{
    stoq_ns now = stoq_now();
    const char *phase = stoq_json_text(event, "phase");
    if (p->mode == CMD_PROGRESS_NEVER || phase == NULL) {
        return;
    }
    uint64_t bytes = stoq_json_u64(event, "bytes", 0);
    uint64_t total = stoq_json_u64(event, "bytes_total", 0);
    bool last = total > 0 && bytes >= total;
    if (p->drawn_at != 0 && now - p->drawn_at < DRAW_EVERY && !last) {
        return;
    }
    p->drawn_at = now;
    if (p->mode == CMD_PROGRESS_JSON) {
        char *line = stoq_json_line(event);
        (void)fprintf(stderr, "%s\n", line != NULL ? line : "");
        free(line);
        return;
    }
    measure(p, phase, bytes, now);
    draw(p, event, bytes, total);
}

void progress_end(struct progress *p)
{
    if (p->line_open) {
        (void)fprintf(stderr, "\r\033[K");
        (void)fflush(stderr);
        p->line_open = false;
    }
}
