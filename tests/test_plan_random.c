/* Random plans against an oracle of its own: which are refused, which version each program sees, who waits for whom,
 * and what flows where. The oracle knows the rules, not the code: it looks at sets of names and at all paths.
 *
 * $SPILE_SEED starts at another seed, $SPILE_GRAPHS says how many.
 */
#include "call/plan.h"
#include "support.h"

enum { PROGRAMS = 6, FILES = 4, GIVEN = -1 };

struct use {
    const char *name;
    spile_role role;
};

struct graph {
    size_t count;
    struct {
        struct use uses[FILES];
        size_t count;
        bool is_piped;
    } programs[PROGRAMS];
};

static const char *const plain_names[] = {"a.x", "b.x", "c.y", "d", "d/x"};
static const char *const patterns[] = {"*.x", "?.y", "*", "d/*"};
/* All that a program might write by a pattern: one name of each kind is enough. */
static const char *const universe[] = {"a.x", "b.x", "c.y", "d", "d/x", "q.x", "q.y", "qq.y", "q", "d/q"};

/* ------------------------------------------------------------------------------------------------ the oracle */

static bool is_many(const char *name) {
    return strchr(name, '*') || strchr(name, '?');
}

static bool stands_for(const char *name, const char *file) {
    switch (*name) {
    case '\0':
        return *file == '\0';
    case '*':
        return stands_for(name + 1, file) || (*file && *file != '/' && stands_for(name, file + 1));
    case '?':
        return *file && *file != '/' && stands_for(name + 1, file + 1);
    default:
        return *name == *file && stands_for(name + 1, file + 1);
    }
}

static bool might_be_same(const char *a, const char *b) {
    for (size_t i = 0; i < ARRAY_SIZE(universe); i++)
        if (stands_for(a, universe[i]) && stands_for(b, universe[i]))
            return true;
    return false;
}

static bool is_change(spile_role role) {
    return role == SPILE_CHANGE || role == SPILE_APPEND;
}

static bool changes(const struct graph *graph, size_t program, const char *file) {
    for (size_t i = 0; i < graph->programs[program].count; i++)
        if (is_change(graph->programs[program].uses[i].role) && stands_for(graph->programs[program].uses[i].name, file))
            return true;
    return false;
}

static bool mentions(const struct graph *graph, size_t program, const char *file, spile_role *ret_role) {
    for (size_t i = 0; i < graph->programs[program].count; i++)
        if (strcmp(graph->programs[program].uses[i].name, file) == 0) {
            *ret_role = graph->programs[program].uses[i].role;
            return true;
        }
    return false;
}

/* By a pattern, where the program does not say itself what it does with that name. */
static bool might_write(const struct graph *graph, size_t program, const char *file) {
    spile_role role;
    if (mentions(graph, program, file, &role))
        return false;
    for (size_t i = 0; i < graph->programs[program].count; i++) {
        const struct use *use = &graph->programs[program].uses[i];
        if (use->role == SPILE_WRITE && is_many(use->name) && stands_for(use->name, file))
            return true;
    }
    return false;
}

/* What program `reader` sees under a plain name; `*ret_many` where several patterns might make it. */
static int version_seen(const struct graph *graph, size_t reader, const char *file, bool *ret_many) {
    int found = GIVEN;
    *ret_many = false;
    for (size_t i = 0; i < MIN(reader, graph->count); i++)
        if (changes(graph, i, file))
            found = (int)i;
    if (found != GIVEN)
        return found;
    for (size_t i = 0; i < graph->count; i++) {
        spile_role role = SPILE_READ;
        if (i != reader && mentions(graph, i, file, &role) && role == SPILE_WRITE)
            return (int)i;
    }
    size_t count = 0;
    for (size_t i = graph->count; i-- > 0;)
        if (i != reader && might_write(graph, i, file)) {
            found = (int)i;
            count++;
        }
    *ret_many = count > 1;
    return found;
}

static size_t group_of(const struct graph *graph, size_t program) {
    size_t group = 0;
    for (size_t i = 0; i < program; i++)
        group += !graph->programs[i].is_piped;
    return group;
}

static bool is_refused_pair(const struct graph *graph, size_t p, size_t q) {
    for (size_t i = 0; i < graph->programs[p].count; i++)
        for (size_t j = 0; j < graph->programs[q].count; j++) {
            const struct use *a = &graph->programs[p].uses[i], *b = &graph->programs[q].uses[j];
            size_t size = strlen(a->name);
            if (p == q && !is_many(a->name) && strncmp(a->name, b->name, size) == 0 && b->name[size] == '/')
                return true; /* a file and a directory */
            if (p == q || strcmp(a->name, b->name) != 0)
                continue;
            if (a->role == SPILE_WRITE && b->role == SPILE_WRITE && !is_many(a->name))
                return true; /* two writers */
            if (is_change(a->role) && b->role == SPILE_WRITE && p < q)
                return true; /* written after a change */
        }
    return false;
}

struct truth {
    bool is_refused;
    bool waits[PROGRAMS][PROGRAMS]; /* the first for the second */
};

static void find_edges(const struct graph *graph, size_t reader, const struct use *use, struct truth *truth) {
    bool is_ambiguous = false;
    if (!is_many(use->name)) {
        int source = version_seen(graph, reader, use->name, &is_ambiguous);
        truth->is_refused |= is_ambiguous;
        if (source != GIVEN)
            truth->waits[reader][source] = true;
        return;
    }
    for (size_t i = 0; i < graph->count; i++)
        for (size_t j = 0; i != reader && j < graph->programs[i].count; j++) {
            const struct use *other = &graph->programs[i].uses[j];
            if ((other->role == SPILE_WRITE || (is_change(other->role) && i < reader)) &&
                might_be_same(use->name, other->name))
                truth->waits[reader][i] = true;
        }
}

/* A ring is a group that can be reached from itself. */
static bool has_ring(const struct graph *graph, const struct truth *truth) {
    bool reach[PROGRAMS][PROGRAMS] = {0};
    for (size_t i = 0; i < graph->count; i++)
        for (size_t j = 0; j < graph->count; j++)
            if (truth->waits[i][j])
                reach[group_of(graph, i)][group_of(graph, j)] = true;
    for (size_t k = 0; k < PROGRAMS; k++)
        for (size_t i = 0; i < PROGRAMS; i++)
            for (size_t j = 0; j < PROGRAMS; j++)
                reach[i][j] |= reach[i][k] && reach[k][j];
    for (size_t i = 0; i < PROGRAMS; i++)
        if (reach[i][i])
            return true;
    return false;
}

static struct truth find_truth(const struct graph *graph) {
    struct truth truth = {.is_refused = graph->programs[graph->count - 1].is_piped};
    for (size_t i = 0; i < graph->count; i++) {
        for (size_t j = 0; j < graph->count; j++)
            truth.is_refused |= is_refused_pair(graph, i, j);
        for (size_t j = 0; j < graph->programs[i].count; j++)
            if (graph->programs[i].uses[j].role != SPILE_WRITE)
                find_edges(graph, i, &graph->programs[i].uses[j], &truth);
    }
    truth.is_refused |= has_ring(graph, &truth);
    return truth;
}

static spile_flow flow_of(const struct graph *graph, const char *file) {
    bool is_ambiguous, is_written = false;
    spile_role role;
    int last = version_seen(graph, SIZE_MAX, file, &is_ambiguous);
    if (last == GIVEN)
        return SPILE_INPUT;
    for (size_t i = 0; i < graph->count; i++)
        is_written |= might_write(graph, i, file) || (mentions(graph, i, file, &role) && role == SPILE_WRITE);
    if (!is_written)
        return SPILE_INPUT_OUTPUT;
    for (size_t i = 0; i < graph->count; i++)
        for (size_t j = 0; j < graph->programs[i].count; j++) {
            const struct use *use = &graph->programs[i].uses[j];
            if ((int)i != last && use->role != SPILE_WRITE && stands_for(use->name, file) &&
                version_seen(graph, i, file, &is_ambiguous) == last)
                return SPILE_INTERMEDIATE;
        }
    return SPILE_OUTPUT;
}

/* ------------------------------------------------------------------------------------------------ random plans */

static uint32_t state;

static unsigned choose(unsigned count) {
    state = state * 1664525u + 1013904223u;
    return (state >> 16) % count;
}

/* Adds a use to both, unless it contradicts what the program says already. */
static void add_use(struct graph *graph, size_t index, spile_program *program) {
    static const spile_role roles[] = {SPILE_READ, SPILE_READ, SPILE_WRITE, SPILE_WRITE, SPILE_CHANGE, SPILE_APPEND};
    bool by_pattern = choose(5) == 0;
    struct use use = {.name = by_pattern ? patterns[choose(ARRAY_SIZE(patterns))]
                                         : plain_names[choose(ARRAY_SIZE(plain_names))],
                      .role = roles[choose(by_pattern ? 5 : 6)]};
    spile_role role;
    const spile_file file = {.size = sizeof(file), .name = use.name, .role = use.role, .flags = SPILE_FILE_SIDE};
    if (mentions(graph, index, use.name, &role))
        return;
    ck_assert_int_eq(spile_program_add_file(program, &file), (int)graph->programs[index].count);
    graph->programs[index].uses[graph->programs[index].count++] = use;
}

static spile_plan *make_random(struct graph *graph) {
    spile_plan *plan = NULL;
    ck_assert_int_eq(spile_plan_new(&plan), 0);
    graph->count = 1 + choose(PROGRAMS);
    for (size_t i = 0; i < graph->count; i++) {
        spile_program *program = NULL;
        ck_assert_int_eq(spile_program_new(NULL, &program), 0);
        ck_assert_int_eq(spile_program_add_text(program, "p"), 0);
        for (unsigned uses = choose(FILES); uses > 0; uses--)
            add_use(graph, i, program);
        graph->programs[i].is_piped = choose(i + 1 < graph->count ? 6 : 40) == 0;
        ck_assert_int_eq(
            spile_plan_add_program(plan, program, graph->programs[i].is_piped ? SPILE_PLAN_PIPED : 0, NULL), 1);
    }
    return plan;
}

static char *describe(const struct graph *graph) {
    static const char *const signs[] = {
        [SPILE_READ] = "<", [SPILE_WRITE] = ">", [SPILE_CHANGE] = "<>", [SPILE_APPEND] = ">>"};
    struct text text = {0};
    for (size_t i = 0; i < graph->count; i++) {
        text_printf(&text, "%zu:", i);
        for (size_t j = 0; j < graph->programs[i].count; j++)
            text_printf(&text, " %s%s", signs[graph->programs[i].uses[j].role], graph->programs[i].uses[j].name);
        text_puts(&text, graph->programs[i].is_piped ? " |  " : "; ");
    }
    return text_take(&text);
}

static void check_uses(const spile_plan *plan, const struct graph *graph, const char *text) {
    size_t number = 0;
    for (size_t i = 0; i < graph->count; i++)
        for (size_t j = 0; j < graph->programs[i].count; j++, number++) {
            const struct use *use = &graph->programs[i].uses[j];
            spile_use_info info = {.size = sizeof(info)};
            bool is_ambiguous;
            ck_assert_int_eq(spile_plan_use(plan, number, &info), 0);
            ck_assert(info.program == i && info.role == use->role);
            if (is_many(use->name))
                continue;
            int expected = use->role == SPILE_WRITE ? GIVEN : version_seen(graph, i, use->name, &is_ambiguous);
            ck_assert_msg(info.producer == expected, "program %zu sees '%s' of %d, expected %d: %s", i, use->name,
                          info.producer, expected, text);
        }
}

static void check_finished(const spile_plan *plan, const struct graph *graph, const struct truth *truth,
                           const char *text) {
    for (size_t i = 0; i < graph->count; i++) {
        const struct plan_program *program = &plan->programs[i];
        bool waits[PROGRAMS] = {0};
        ck_assert_uint_eq(program->group, group_of(graph, i));
        for (size_t j = 0; j < program->after_count; j++)
            waits[program->after[j]] = true;
        for (size_t j = 0; j < graph->count; j++)
            ck_assert_msg(waits[j] == truth->waits[i][j], "whether %zu waits for %zu: %s", i, j, text);
    }
    check_uses(plan, graph, text);
    for (size_t i = 0; i < spile_plan_file_count(plan); i++) {
        spile_file_info info = {.size = sizeof(info)};
        ck_assert_int_eq(spile_plan_file(plan, i, &info), 0);
        ck_assert_int_eq(info.is_pattern, is_many(info.name));
        if (!info.is_pattern)
            ck_assert_msg(info.flow == flow_of(graph, info.name), "flow of '%s' is %d, expected %d: %s", info.name,
                          (int)info.flow, (int)flow_of(graph, info.name), text);
    }
}

static unsigned number_of(const char *variable, unsigned otherwise) {
    const char *text = getenv(variable);
    return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

START_TEST(as_the_oracle_says) {
    unsigned first = number_of("SPILE_SEED", 1), count = number_of("SPILE_GRAPHS", 6000), refused = 0;
    for (unsigned seed = first; seed < first + count; seed++) {
        struct graph graph = {0};
        spile_error *error = NULL;
        state = seed * 2654435761u;
        spile_plan *plan = make_random(&graph);
        struct truth truth = find_truth(&graph);
        char *text = describe(&graph);
        int code = spile_plan_finish(plan, &error);
        ck_assert_msg(code == (truth.is_refused ? -EINVAL : 0), "seed %u: %d, expected %s; %s (%s)", seed, code,
                      truth.is_refused ? "a refusal" : "none", text, error ? spile_error_get_message(error) : "");
        if (code == 0)
            check_finished(plan, &graph, &truth, text);
        else
            ck_assert_int_eq(spile_error_get_kind(error), SPILE_ERROR_PLAN);
        refused += code < 0;
        free(text);
        spile_error_free(error);
        spile_plan_unref(plan);
    }
    printf("# %u plans from seed %u, %u refused\n", count, first, refused);
    ck_assert_msg(count < 1000 || (refused > count / 5 && refused < count / 5 * 4), "%u of %u were refused", refused,
                  count);
}
END_TEST

int main(int argc, char **argv) {
    Suite *suite = suite_create("random plans");
    TCase *tests = tcase_create("random plans");
    support_begin(argc, argv);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, as_the_oracle_says);
    suite_add_tcase(suite, tests);
    return support_run(suite);
}
