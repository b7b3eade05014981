#include "daemon/input.h"

enum stoq_status stoq_input_fill(const struct stoq_input *in, uint8_t *p, size_t n, size_t *got,
                                 struct stoq_error *err)
{
    enum stoq_status st = STOQ_OK;
    size_t some = 1;
    *got = 0;
    while (st == STOQ_OK && *got < n && some > 0) {
        st = in->read(in->user, p + *got, n - *got, &some, err);
        *got += st == STOQ_OK ? some : 0;
    }
    return st;
}
