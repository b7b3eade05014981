#include "signals.h"

#include "api/error.h"
#include "os/sys.h"

#include <string.h>
#include <unistd.h>

static void *wait_main(void *user)
{
    struct signals *s = user;
    sigset_t set;
    int signum;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    stoq_ns first_at = 0;
    for (;;) {
        if (sigwait(&set, &signum) != 0) {
            continue;
        }
        if (first_at != 0 && stoq_now() - first_at > SIGNALS_SAME_WITHIN) {
            _exit(STOQ_EXIT_INTERRUPTED);
        }
        first_at = first_at != 0 ? first_at : stoq_now();
        atomic_store(&s->asked, true);
    }
    return NULL;
}

void signals_of_writes_ignore(void)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)sigaction(SIGXFSZ, &ignore, NULL);
}

void signals_start(struct signals *s)
{
    sigset_t set;
    atomic_init(&s->asked, false);
    signals_of_writes_ignore();
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, &s->before);
    s->running = pthread_create(&s->thread, NULL, wait_main, s) == 0;
    if (!s->running) { /* then the signals do what they always do */
        pthread_sigmask(SIG_SETMASK, &s->before, NULL);
    }
}

void signals_end(struct signals *s)
{
    if (!s->running) {
        return;
    }
    pthread_cancel(s->thread);
    pthread_join(s->thread, NULL);
    pthread_sigmask(SIG_SETMASK, &s->before, NULL);
}

bool signals_asked(void *signals)
{
    struct signals *s = signals;
    return atomic_load(&s->asked);
}
