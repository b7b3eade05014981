#ifndef STOQ_OS_COND_H
#define STOQ_OS_COND_H
/* Conditions whose timed waits go by stoq_now(), so that nobody waits long when the wall clock is set. */
#include "base/bytes.h"

#include <pthread.h>

/* To be ended with pthread_cond_destroy. */
void stoq_cond_init(pthread_cond_t *c);

/*
 * Wait, with lock held, until somebody signals or stoq_now() reaches at; STOQ_NEVER: until somebody signals.
 * May end early, as pthread_cond_wait: look again at what is waited for. False: the time has come.
 */
bool stoq_cond_wait_until(pthread_cond_t *c, pthread_mutex_t *lock, stoq_ns at);

#endif
