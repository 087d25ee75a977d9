/* Numbers with units, as people write them: exact, no sign, no exponent, no overflow. */
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct unit {
    const char *name;
    uint64_t factor;
};

/* A decimal number with at most nine digits behind the point, and a unit: its value in the smallest unit. */
static bool parse_units(const char *text, const struct unit *units, size_t count, uint64_t *ret_value) {
    const uint64_t billion = 1000000000;
    uint64_t whole = 0, fraction = 0, weight = billion / 10;
    const char *start = text;
    for (; isdigit((unsigned char)*text); text++)
        if (__builtin_mul_overflow(whole, 10, &whole) || __builtin_add_overflow(whole, *text - '0', &whole))
            return false;
    if (text == start)
        return false;
    if (*text == '.') {
        if (!isdigit((unsigned char)*++text))
            return false;
        for (; isdigit((unsigned char)*text); text++, weight /= 10)
            fraction += weight * (uint64_t)(*text - '0');
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t value;
        if (strcasecmp(text, units[i].name) != 0)
            continue;
        if (__builtin_mul_overflow(whole, units[i].factor, &value) ||
            __builtin_add_overflow(value, (uint64_t)((unsigned __int128)fraction * units[i].factor / billion), &value))
            return false;
        *ret_value = value;
        return true;
    }
    return false;
}

bool parse_duration(const char *text, uint64_t *ret_ns) {
    static const struct unit units[] = {
        {"", 1000000000}, {"s", 1000000000},  {"ms", 1000000},      {"us", 1000},
        {"ns", 1},        {"m", 60000000000}, {"min", 60000000000}, {"h", 3600000000000},
    };
    return parse_units(text, units, sizeof(units) / sizeof(*units), ret_ns) && *ret_ns > 0;
}

bool parse_size(const char *text, uint64_t *ret_bytes) {
    static const uint64_t kilo = 1024;
    const struct unit units[] = {
        {"", 1},
        {"b", 1},
        {"k", kilo},
        {"kb", kilo},
        {"kib", kilo},
        {"m", kilo * kilo},
        {"mb", kilo * kilo},
        {"mib", kilo * kilo},
        {"g", kilo * kilo * kilo},
        {"gb", kilo * kilo * kilo},
        {"gib", kilo * kilo * kilo},
        {"t", kilo * kilo * kilo * kilo},
        {"tb", kilo * kilo * kilo * kilo},
        {"tib", kilo * kilo * kilo * kilo},
    };
    return parse_units(text, units, sizeof(units) / sizeof(*units), ret_bytes) && *ret_bytes > 0;
}

bool parse_count(const char *text, unsigned long maximum, unsigned long *ret_count) {
    if (!isdigit((unsigned char)text[0]))
        return false;
    char *end;
    errno = 0;
    unsigned long count = strtoul(text, &end, 10);
    if (errno || *end || count > maximum)
        return false;
    *ret_count = count;
    return true;
}
