/*
 * Stands between the daemon and the transport of a test's own `stoq` (the linker's --wrap): every byte
 * that is handed to a stream goes to the file that STOQ_CAPTURE names as well, one line per write:
 *   CONNECTION STREAM FIN HEX
 */
#include "net/net.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* The names are the linker's. NOLINTBEGIN(readability-identifier-naming) */
enum stoq_status __real_stoq_net_write(struct stoq_net *net, stoq_net_conn conn,
                                       stoq_net_stream stream, const struct stoq_net_buf *buf,
                                       bool fin);
enum stoq_status __real_stoq_net_write_copy(struct stoq_net *net, stoq_net_conn conn,
                                            stoq_net_stream stream, struct stoq_span bytes,
                                            bool fin);
enum stoq_status __wrap_stoq_net_write(struct stoq_net *net, stoq_net_conn conn,
                                       stoq_net_stream stream, const struct stoq_net_buf *buf,
                                       bool fin);
enum stoq_status __wrap_stoq_net_write_copy(struct stoq_net *net, stoq_net_conn conn,
                                            stoq_net_stream stream, struct stoq_span bytes,
                                            bool fin);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void note(stoq_net_conn conn, stoq_net_stream stream, const char *hex, bool fin)
{
    const char *path = getenv("STOQ_CAPTURE");
    if (path == NULL) {
        return;
    }
    pthread_mutex_lock(&lock);
    FILE *f = fopen(path, "a");
    if (f == NULL ||
        fprintf(f, "%llu %lld %d %s\n", (unsigned long long)conn, (long long)stream, (int)fin,
                hex) < 0 ||
        fclose(f) != 0) {
        abort(); /* half a capture is worse than none */
    }
    pthread_mutex_unlock(&lock);
}

static char *to_hex(struct stoq_span bytes)
{
    char *hex = malloc(2 * bytes.n + 1);
    if (hex == NULL) {
        abort();
    }
    stoq_hex_put(hex, bytes);
    return hex;
}

enum stoq_status __wrap_stoq_net_write(struct stoq_net *net, stoq_net_conn conn,
                                       stoq_net_stream stream, const struct stoq_net_buf *buf,
                                       bool fin)
{
    char *hex = to_hex(buf->bytes); /* before: release may be called inside */
    enum stoq_status st = __real_stoq_net_write(net, conn, stream, buf, fin);
    if (st == STOQ_OK) {
        note(conn, stream, hex, fin);
    }
    free(hex);
    return st;
}

enum stoq_status __wrap_stoq_net_write_copy(struct stoq_net *net, stoq_net_conn conn,
                                            stoq_net_stream stream, struct stoq_span bytes,
                                            bool fin)
{
    char *hex = to_hex(bytes);
    enum stoq_status st = __real_stoq_net_write_copy(net, conn, stream, bytes, fin);
    if (st == STOQ_OK) {
        note(conn, stream, hex, fin);
    }
    free(hex);
    return st;
}
/* NOLINTEND(readability-identifier-naming) */
