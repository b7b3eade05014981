#include "wire/text.h"

/* Length of the sequence that lead begins and its smallest code point; 0 for no lead byte. */
static size_t utf8_lead(uint8_t lead, uint32_t *bits, uint32_t *min)
{
    if (lead < 0x80) {
        *bits = lead;
        *min = 0;
        return 1;
    }
    if (lead >= 0xc2 && lead <= 0xdf) {
        *bits = lead & 0x1fu;
        *min = 0x80;
        return 2;
    }
    if (lead >= 0xe0 && lead <= 0xef) {
        *bits = lead & 0x0fu;
        *min = 0x800;
        return 3;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        *bits = lead & 0x07u;
        *min = 0x10000;
        return 4;
    }
    return 0;
}

bool stoq_utf8_valid(struct stoq_span s)
{
    size_t i = 0;
    while (i < s.n) {
        uint32_t code;
        uint32_t min;
        size_t n = utf8_lead(s.p[i], &code, &min);
        if (n == 0 || n > s.n - i) {
            return false;
        }
        for (size_t k = 1; k < n; k++) {
            if ((s.p[i + k] & 0xc0) != 0x80) {
                return false;
            }
            code = code << 6 | (s.p[i + k] & 0x3fu);
        }
        if (code < min || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
            return false;
        }
        i += n;
    }
    return true;
}
