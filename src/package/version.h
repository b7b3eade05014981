#ifndef STOQ_PACKAGE_VERSION_H
#define STOQ_PACKAGE_VERSION_H
/* Which of two versions of one name is the later one, as their texts say. */
#include "base/bytes.h"

/*
 * Compare version texts: numbers as numbers, of any length, the rest character by character with letters
 * before others; what is before its end sorts behind the end, except `~`, and except `-` before a letter,
 * which begins a pre-release: 1.0~rc1 and 1.0-rc1 come before 1.0, and 1.0-1 and 1.0.1 after it.
 *
 * <0, 0, >0: a is earlier, they mean the same (1.0 and 1.00), a is later. Cost: the shorter one's bytes.
 * Source: deb-version(7), "Sorting algorithm"; the rule about `-` after semver.org, section 11.
 */
int stoq_version_cmp(struct stoq_span a, struct stoq_span b);

#endif
