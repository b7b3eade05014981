#ifndef STOQ_OS_LOOP_H
#define STOQ_OS_LOOP_H
/*
 * The event loop of one network thread: file descriptors, deadlines, signals, and calls posted from
 * other threads. All functions run on the loop's thread unless they say otherwise; callbacks do too.
 * Deadlines come from a timerfd, since QUIC's pacing needs better than a millisecond.
 */
#include "base/bytes.h"
#include "os/sys.h"

struct stoq_loop;
struct stoq_watch;
struct stoq_timer;

enum stoq_loop_events {
    STOQ_LOOP_READ = 1,
    STOQ_LOOP_WRITE = 2,
};

/* STOQ_NOMEM, STOQ_IO. */
STOQ_WARN_UNUSED enum stoq_status stoq_loop_new(struct stoq_loop **out, struct stoq_error *err);
/* Every watch, timer and signal must be freed before; calls posted and not yet run are run. NULL is
 * fine. */
void stoq_loop_free(struct stoq_loop *loop);
/* Serve events until stoq_loop_stop. */
void stoq_loop_run(struct stoq_loop *loop);
/* stoq_now() when the loop last looked for events, to the millisecond: for what is asked per packet. */
stoq_ns stoq_loop_looked_at(const struct stoq_loop *loop);
/* Any thread; the loop returns after the events at hand. */
void stoq_loop_stop(struct stoq_loop *loop);
/* For the next for_ns (counted from the last such call) the loop looks for events again and again, giving way
 * to whoever else wants the processor, instead of sleeping: for answers that are due in less time than a
 * sleeping processor takes to wake up. Not on a machine with one processor, and not more than a twentieth of
 * the time: who calls more often sleeps as usual. */
void stoq_loop_hurry(struct stoq_loop *loop, stoq_ns for_ns);
/* How often it was begun, and the time spent so. */
void stoq_loop_hurried(const struct stoq_loop *loop, uint64_t *times, stoq_ns *spent_ns);
/* Next time the loop looks for events and does not wait for any: what a deadline that is due at once needs.
 * A timer set to now would cost up to 20 us on a virtual machine, and twice that until it fires. */
void stoq_loop_again(struct stoq_loop *loop);
/* Called each time before the loop blocks, after all events at hand were served: the place to flush
 * what those events produced in one batch. The caller embeds it; hooks run in the order of their
 * adding. Not to be added or removed from inside a hook. */
struct stoq_hook {
    void (*run)(void *user);
    void *user;
    struct stoq_hook *next; /* the loop's */
};
void stoq_loop_before_wait(struct stoq_loop *loop, struct stoq_hook *hook);
/* Fine if it was never added. */
void stoq_loop_unhook(struct stoq_loop *loop, struct stoq_hook *hook);

/* A call handed over from any thread. The caller owns the memory and leaves it alone until run; a
 * post is queued at most once at a time. Posts run in the order of their arrival. */
struct stoq_post {
    void (*run)(struct stoq_post *post);
    struct stoq_post *next; /* the loop's */
};
void stoq_loop_post(struct stoq_loop *loop, struct stoq_post *post); /* any thread */
/* It is not run any more. Fine if it was not posted. Not from inside a run; on the loop's thread, or on any
 * while none serves the loop. */
void stoq_loop_unpost(struct stoq_loop *loop, struct stoq_post *post);

/* Watch fd (not owned) for the events last given to stoq_watch_set; none at first. Level triggered. */
typedef void stoq_watch_fn(void *user, unsigned events);
STOQ_WARN_UNUSED enum stoq_status stoq_watch_new(struct stoq_watch **out, struct stoq_loop *loop,
                                                 int fd, stoq_watch_fn *fn, void *user,
                                                 struct stoq_error *err);
void stoq_watch_set(struct stoq_watch *watch, unsigned events);
/* No callback after this. The fd may be closed at once. NULL is fine. */
void stoq_watch_free(struct stoq_watch *watch);

/* One absolute deadline on stoq_now()'s clock; STOQ_NEVER disarms. Fires once per set. */
typedef void stoq_timer_fn(void *user);
STOQ_WARN_UNUSED enum stoq_status stoq_timer_new(struct stoq_timer **out, struct stoq_loop *loop,
                                                 stoq_timer_fn *fn, void *user,
                                                 struct stoq_error *err);
void stoq_timer_set(struct stoq_timer *timer, stoq_ns deadline);
void stoq_timer_free(struct stoq_timer *timer);

/* Signals delivered as events; freed with stoq_signal_free. */
struct stoq_signal;
typedef void stoq_signal_fn(void *user, int signum);
STOQ_WARN_UNUSED enum stoq_status stoq_signal_new(struct stoq_signal **out, struct stoq_loop *loop,
                                                  int signum, stoq_signal_fn *fn, void *user,
                                                  struct stoq_error *err);
void stoq_signal_free(struct stoq_signal *sig);

#endif
