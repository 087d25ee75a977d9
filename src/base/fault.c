/* Injected failures: see fault.h. Async-signal-safe, so that the child of a vfork may pass its points. */
#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct fault_plan *_Atomic shared_plan;

/* FNV-1a; the same place has the same key in every process and build. */
static uint32_t site_key(const struct fault_site *site) {
    const char *base = strrchr(site->file, '/');
    uint32_t hash = 2166136261u;
    for (const char *c = base ? base + 1 : site->file; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    for (const char *c = site->name; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    hash = (hash ^ (uint32_t)site->line) * 16777619u;
    return hash ? hash : 1;
}

static void write_place(char *place, size_t size, const struct fault_site *site) {
    const char *base = strrchr(site->file, '/');
    char digits[12];
    size_t used = 0, digit = sizeof(digits) - 1;
    int line = site->line;
    digits[digit] = '\0';
    do
        digits[--digit] = (char)('0' + line % 10);
    while ((line /= 10) > 0);
    const char *pieces[] = {base ? base + 1 : site->file, ":", digits + digit, " ", site->name};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++)
        for (const char *c = pieces[i]; *c && used + 1 < size; c++)
            place[used++] = *c;
    place[used] = '\0';
}

static struct fault_plan *plan_attach(void) {
    struct fault_plan *plan = shared_plan;
    if (plan)
        return plan;
    const char *number = getenv("SPILE_FAULT_FD");
    if (!number)
        return NULL;
    void *memory = mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE, MAP_SHARED, atoi(number), 0);
    if (memory == MAP_FAILED)
        return NULL;
    shared_plan = memory;
    return memory;
}

static struct fault_entry *entry_of(struct fault_plan *plan, const struct fault_site *site) {
    for (uint32_t probe = 0; probe < FAULT_TABLE_SIZE; probe++) {
        struct fault_entry *entry = &plan->table[(site->key + probe) % FAULT_TABLE_SIZE];
        uint32_t expected = 0;
        if (__atomic_compare_exchange_n((uint32_t *)&entry->key, &expected, site->key, 0, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST)) {
            entry->class = site->class;
            write_place(entry->place, sizeof(entry->place), site);
            return entry;
        }
        if (expected == site->key)
            return entry;
    }
    return NULL;
}

int fault_point(struct fault_site *site) {
    struct fault_plan *plan = plan_attach();
    if (!plan)
        return 0;
    if (!site->key)
        site->key = site_key(site);
    struct fault_entry *entry = entry_of(plan, site);
    if (!entry)
        return 0;
    uint32_t pass = ++entry->passes;
    /* Setting a timer fails for misuse only, and a loop that could not would have nobody to tell. */
    bool may_be_second = site->class == FAULT_ACQUIRE && strcmp(site->name, "timerfd_settime") != 0;
    if (plan->countdown > 0 && may_be_second && --plan->countdown == 0)
        return ENOMEM;
    if (plan->key != site->key || pass < plan->occurrence || (pass > plan->occurrence && !plan->onward))
        return 0;
    if (plan->hits++ == 0)
        plan->countdown = plan->also;
    return plan->code;
}

struct fault_plan *fault_plan_make(void) {
    int fd = memfd_create("faults", 0); /* inherited by the supervisor on purpose */
    int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD, 900);
    char number[12];
    if (high < 0 || ftruncate(high, sizeof(struct fault_plan)) < 0)
        abort();
    close(fd);
    snprintf(number, sizeof(number), "%d", high);
    setenv("SPILE_FAULT_FD", number, 1);
    return plan_attach();
}

void fault_plan_reset(struct fault_plan *plan) {
    plan->key = 0;
    plan->occurrence = 0;
    plan->onward = 0;
    plan->code = 0;
    plan->hits = 0;
    plan->also = plan->countdown = 0;
    for (size_t i = 0; i < FAULT_TABLE_SIZE; i++)
        plan->table[i].passes = 0;
}
