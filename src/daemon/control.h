#ifndef STOQ_DAEMON_CONTROL_H
#define STOQ_DAEMON_CONTROL_H
/* The operation table behind the API server: what `stoq` talks to when a daemon runs. */
#include "api/server.h"
#include "daemon/host.h"

/* Serve host's operations on its home's socket. Results as stoq_api_server_new, and STOQ_BUSY then has
 * the code DaemonRunning. Freed with stoq_api_server_free, before the host. */
STOQ_WARN_UNUSED enum stoq_status stoq_control_start(struct stoq_api_server **out,
                                                     struct stoq_host *host,
                                                     struct stoq_error *err);

#endif
