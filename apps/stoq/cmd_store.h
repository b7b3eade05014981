#ifndef STOQ_APPS_STOQ_CMD_STORE_H
#define STOQ_APPS_STOQ_CMD_STORE_H
/* The words of `stoq store` that are not about one content. */
#include "cmd.h"

int store_stats(struct cmd *cmd);
int store_rebuild(struct cmd *cmd);

#endif
