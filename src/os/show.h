#ifndef STOQ_OS_SHOW_H
#define STOQ_OS_SHOW_H
/* Paths in messages: any bytes in, one line of valid UTF-8 out. */
#include "base/bytes.h"

#define STOQ_SHOW_BYTES 320

/* Control characters and bytes that are not UTF-8 become \xNN, a long path loses its middle (`...`).
 * Returns out, so that it can stand in a call's arguments. */
const char *stoq_show_path(char out[STOQ_SHOW_BYTES], struct stoq_span path);

#endif
