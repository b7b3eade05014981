#ifndef STOQ_APPS_STOQ_VERDICTS_H
#define STOQ_APPS_STOQ_VERDICTS_H
/* Verdicts on peers for people; --json has the exact ones. */
#include "api/json.h"

/* A line for each of result's "candidates": the verdict, and the clause and values that decided. */
void verdicts_print(const json_t *result);

#endif
