#include "verdicts.h"

#include <stdio.h>
#include <string.h>

static void print_value(const char *name, const json_t *v)
{
    if (json_is_string(v)) {
        (void)printf("%s = \"%s\"", name, json_string_value(v));
    } else if (json_is_integer(v)) {
        (void)printf("%s = %lld", name, (long long)json_integer_value(v));
    } else if (json_is_boolean(v)) {
        (void)printf("%s = %s", name, json_is_true(v) ? "true" : "false");
    } else {
        (void)printf("%s is not known", name);
    }
}

static void print_reason(const json_t *o)
{
    const char *name;
    const json_t *v;
    const char *beside = stoq_json_text(o, "beside");
    const char *before = "  (";
    (void)printf("  line %llu: %s", (unsigned long long)stoq_json_u64(o, "line", 0),
                 stoq_json_text(o, "clause"));
    json_object_foreach (json_object_get(o, "values"), name, v) {
        (void)printf("%s", before);
        print_value(name, v);
        before = ", ";
    }
    (void)printf("%s%s%s", beside != NULL ? ", as of " : "", beside != NULL ? beside : "",
                 before[0] == ',' ? ")" : "");
}

void verdicts_print(const json_t *result)
{
    size_t i;
    const json_t *o;
    json_array_foreach (json_object_get(result, "candidates"), i, o) {
        const char *peer = stoq_json_text(o, "peer");
        const char *verdict = stoq_json_text(o, "verdict");
        if (peer != NULL) {
            (void)printf("%-8s %s", verdict, peer);
        } else {
            (void)printf("%-8s #%llu", verdict,
                         (unsigned long long)stoq_json_u64(o, "candidate", 0));
        }
        if (strcmp(verdict, "kept") != 0) {
            print_reason(o);
        }
        (void)printf("\n");
    }
}
