#ifndef STOQ_APPS_STOQ_SIGNALS_H
#define STOQ_APPS_STOQ_SIGNALS_H
/*
 * Ctrl-C of a running operation: the first INT or TERM asks it to stop, a second one ends the process at once
 * with exit code 130.
 */
#include "base/bytes.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

/* A signal sent to a process and to its group arrives twice at once and means one. */
#define SIGNALS_SAME_WITHIN (STOQ_SEC / 4)

struct signals {
    pthread_t thread;
    bool running;
    sigset_t before;
    atomic_bool asked; /* to stop */
};

/* PIPE and XFSZ (a limit of file sizes is met): the write fails and says so, which is enough. */
void signals_of_writes_ignore(void);

/* The same, and the thread that waits. Before any other thread is made, so that all of them leave the
 * signals to ours. */
void signals_start(struct signals *s);
void signals_end(struct signals *s);
bool signals_asked(void *signals); /* a struct signals */

#endif
