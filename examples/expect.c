/* Looks for what another program says: a prompt, a password, a number, whatever comes first.
 *
 * The other side is a shell script on a terminal of its own; it could be a router behind "/dev/ttyUSB0".
 */
#include <spile.h>
#include <stdio.h>
#include <string.h>

static const char other_side[] =
    "stty -echo; printf 'password: '; read p; [ \"$p\" = tap ] && echo 'volume 42 l, ready' || echo no";

enum { PASSWORD, VOLUME, REFUSED, ENDED };
static const spile_pattern wanted[] = {
    [PASSWORD] = {.text = "password: "},
    [VOLUME] = {.kind = SPILE_PATTERN_REGEX, .mode = SPILE_PATTERN_LINE, .text = "volume (?<litres>\\d+)"},
    [REFUSED] = {.text = "no\n"},
    [ENDED] = {.kind = SPILE_PATTERN_END},
};
static const uint64_t timeout_ns = UINT64_C(10000000000);

/* What is to be done about it; the return value is positive where that was the last. */
static int answer(spile_talk *talk, const spile_patterns *patterns, const spile_match *match) {
    spile_span litres;
    switch (match->index) {
    case PASSWORD:
        return spile_talk_write_secret(talk, "tap", timeout_ns, NULL);
    case VOLUME:
        litres = match->groups[spile_patterns_group(patterns, VOLUME, "litres")];
        printf("%.*s\n", (int)litres.size, litres.text);
        return 1;
    default:
        puts("refused");
        return 1;
    }
}

int main(void) {
    const char *const program[] = {"sh", "-c", other_side, NULL};
    const spile_talk_options options = {.size = sizeof(options), .argv = program};
    spile_talk *talk = NULL;
    spile_patterns *patterns = NULL;
    spile_error *error = NULL;
    spile_match match = {.size = sizeof(match)};
    int r = spile_patterns_new(wanted, sizeof(wanted) / sizeof(*wanted), NULL, &patterns, &error);
    if (r >= 0)
        r = spile_talk_open("pty:", &options, &talk, &error);
    while (r >= 0) {
        r = spile_talk_expect(talk, patterns, NULL, timeout_ns, &match, &error);
        if (r >= 0 && (r = answer(talk, patterns, &match)) > 0)
            break;
    }
    if (r < 0)
        fprintf(stderr, "expect: %s\n", error ? spile_error_get_message(error) : strerror(-r));
    spile_error_free(error);
    spile_talk_free(talk);
    spile_patterns_free(patterns);
    return r < 0;
}
