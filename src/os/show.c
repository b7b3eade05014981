#include "os/show.h"

#include <string.h>

/* Length of the well-formed UTF-8 character at p, 0 when there is none or it is a control. */
static size_t char_bytes(const uint8_t *p, size_t n)
{
    if (p[0] < 0x80) {
        return p[0] >= 0x20 && p[0] != 0x7f ? 1 : 0;
    }
    size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n < len) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool beyond = (p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf4 && p[1] >= 0x90);
    bool control = p[0] == 0xc2 && p[1] < 0xa0;
    return overlong || beyond || control ? 0 : len;
}

/* Show the front of *path while it fits max bytes, and move past it; the bytes written. */
static size_t show_front(char *out, size_t max, struct stoq_span *path)
{
    size_t n = 0;
    while (path->n > 0) {
        size_t len = char_bytes(path->p, path->n);
        if (n + (len == 0 ? 4 : len) > max) {
            break;
        }
        if (len == 0) {
            static const char digits[] = "0123456789abcdef";
            const uint8_t c = path->p[0];
            const char hex[4] = {'\\', 'x', digits[c >> 4], digits[c & 15]};
            memcpy(out + n, hex, sizeof hex);
            n += sizeof hex;
            len = 1;
        } else {
            memcpy(out + n, path->p, len);
            n += len;
        }
        path->p += len;
        path->n -= len;
    }
    return n;
}

const char *stoq_show_path(char out[STOQ_SHOW_BYTES], struct stoq_span path)
{
    /* The last bytes hold the name, at least in part: they have room even if all are escaped. */
    const size_t tail_bytes = 28;
    const size_t tail_room = 3 + 4 * tail_bytes;
    struct stoq_span rest = path;
    size_t n = show_front(out, STOQ_SHOW_BYTES - 1, &rest);
    if (rest.n > 0) {
        rest = path;
        n = show_front(out, STOQ_SHOW_BYTES - 1 - tail_room, &rest);
        struct stoq_span tail = stoq_span(path.p + path.n - tail_bytes, tail_bytes);
        while (tail.n > 0 && (tail.p[0] & 0xc0) == 0x80) {
            tail = stoq_span(tail.p + 1, tail.n - 1);
        }
        memcpy(out + n, "...", 3);
        n += 3;
        n += show_front(out + n, STOQ_SHOW_BYTES - 1 - n, &tail);
    }
    out[n] = 0;
    return out;
}
