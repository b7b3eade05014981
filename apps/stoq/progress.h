#ifndef STOQ_APPS_STOQ_PROGRESS_H
#define STOQ_APPS_STOQ_PROGRESS_H
/*
 * Progress on stderr: one line that is drawn over, at most ten times a second, on a terminal only; or
 * the events themselves, one JSON object per line, with --progress=json.
 */
#include "cmd.h"

struct progress {
    enum cmd_progress mode; /* never, always (a line) or json: auto is decided */
    stoq_ns drawn_at;       /* 0: not yet */
    bool line_open;         /* something is drawn that must be wiped */
    char phase[16];         /* of the last event; the rate starts anew with another */
    stoq_ns phase_at;
    uint64_t phase_bytes; /* done when it began */
    stoq_ns rate_at;
    uint64_t rate_bytes;
    double rate; /* bytes per second, smoothed */
};

void progress_init(struct progress *p, const struct cmd *cmd);
void progress_event(struct progress *p, const json_t *event);
void progress_end(struct progress *p); /* wipe the line */

#endif
