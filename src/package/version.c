/*
 * Publishers number their releases in many ways; this order reads the usual ones as they are meant. It is a
 * publisher's help, not a rule between peers: which pointer counts is said by its sequence alone.
 */
#include "package/version.h"

static bool is_digit(struct stoq_span s, size_t i)
{
    return i < s.n && s.p[i] >= '0' && s.p[i] <= '9';
}

static bool is_letter(struct stoq_span s, size_t i)
{
    return i < s.n && ((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= 'A' && s.p[i] <= 'Z'));
}

/* Where the character at i stands; the end, and the number that ends this part, at 0. */
static int weight(struct stoq_span s, size_t i)
{
    if (i >= s.n || is_digit(s, i)) {
        return 0;
    }
    if (s.p[i] == '~' || (s.p[i] == '-' && is_letter(s, i + 1))) {
        return -1;
    }
    return is_letter(s, i) ? s.p[i] : s.p[i] + 256;
}

/* The number at *at, which is moved past it: its digits without the zeros in front. */
static struct stoq_span number(struct stoq_span s, size_t *at)
{
    while (*at < s.n && s.p[*at] == '0') {
        (*at)++;
    }
    size_t first = *at;
    while (is_digit(s, *at)) {
        (*at)++;
    }
    return stoq_span(s.p + first, *at - first);
}

static int number_cmp(struct stoq_span a, struct stoq_span b)
{
    if (a.n != b.n) {
        return a.n < b.n ? -1 : 1;
    }
    return stoq_span_cmp(a, b);
}

int stoq_version_cmp(struct stoq_span a, struct stoq_span b)
{
    size_t i = 0;
    size_t k = 0;
    while (i < a.n || k < b.n) {
        while ((i < a.n && !is_digit(a, i)) || (k < b.n && !is_digit(b, k))) {
            int c = weight(a, i) - weight(b, k);
            if (c != 0) {
                return c;
            }
            i++;
            k++;
        }
        int c = number_cmp(number(a, &i), number(b, &k));
        if (c != 0) {
            return c;
        }
    }
    return 0;
}
