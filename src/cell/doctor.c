/* spile_doctor: what a context can promise here. A promise is found out by asking a cell for it, as a call would, so
 * that what is told is what happens; each in a cell of its own, because a cell that can't keep one ends.
 */
#include "cell/ctx.h"
#include "cell/machine.h"
#include "cell/pool.h"
#include "cell/promise.h"

enum { PROMISE_COUNT = 8 };
static_assert(SPILE_PROMISE_LAST == 1u << (PROMISE_COUNT - 1), "each promise has its finding");

struct finding {
    spile_promise promise;
    const char *name;
    bool holds;
    char *text, *cure;
};

struct spile_doctor {
    spile_containment containment;
    struct finding findings[PROMISE_COUNT + MACHINE_FINDINGS + 2];
    size_t count;
};

/* What each promise says where it holds. */
static const char *const promised[PROMISE_COUNT] = {
    "all processes of a call end with it, whoever is killed",
    "its files are in a mount that nobody else sees, and vanish with it",
    "the limit of bytes in files holds for all of them together",
    "the limit of the programs' memory holds for all of them together",
    "the number of processes of a call can be limited",
    "its files are never swapped out to a disk",
    "programs that wait for what can't come are found, and told",
    "programs can have their private directory at a path that is chosen",
};

/* --------------------------------------------------------------------------------------------------- one cell */

struct visit {
    struct cell_owner owner;
    struct loop_user user;
    bool is_ready, is_released;
    spile_error *error;
};

static void on_ready(struct cell_owner *owner, spile_error *error) {
    struct visit *visit = CONTAINER_OF(owner, struct visit, owner);
    visit->is_ready = true;
    visit->error = error;
}

static void on_broken(struct cell_owner *owner, spile_error *error) {
    (void)owner;
    spile_error_free(error); /* releasing it is all that is left to do anyway */
}

static void on_released(struct cell_owner *owner) {
    CONTAINER_OF(owner, struct visit, owner)->is_released = true;
}

static void ignore(struct loop_user *user) {
    (void)user;
}

static int step_until(spile_loop *loop, const bool *flag) {
    int result = 0;
    while (!*flag && (result >= 0 || result == -EINTR))
        result = spile_loop_step(loop, NS_FOREVER);
    return *flag ? 0 : result;
}

/* Leases a cell that keeps these promises. *ret_error (owned by the caller) where there is none. */
static int visit_cell(spile_ctx *ctx, spile_loop *loop, uint64_t promises, spile_containment *ret_containment,
                      spile_error **ret_error) {
    struct visit visit = {.owner = {on_ready, on_broken, on_released}, .user = {.woken = ignore, .cancel = ignore}};
    const struct cell_wants wants = {.promises = promises};
    struct cell *cell;
    loop_join(loop, &visit.user);
    int result = cell_lease(ctx, loop, &visit.owner, &wants, &cell);
    if (result == 0)
        result = step_until(loop, &visit.is_ready);
    if (result >= 0 && !visit.error) {
        *ret_containment = cell_containment(cell);
        if (cell_release(cell) == 0)
            result = step_until(loop, &visit.is_released);
    }
    loop_leave(&visit.user);
    *ret_error = visit.error;
    return result < 0 ? result : 0;
}

/* --------------------------------------------------------------------------------------------------- findings */

static int add(struct spile_doctor *doctor, spile_promise promise, const char *name, bool holds, const char *text,
               const char *cure) {
    struct finding *finding = &doctor->findings[doctor->count];
    finding->promise = promise;
    finding->name = name;
    finding->holds = holds;
    finding->text = memory_string(text);
    finding->cure = cure && *cure ? memory_string(cure) : NULL;
    doctor->count++;
    return finding->text && (finding->cure || !cure || !*cure) ? 0 : -ENOMEM;
}

static void cure_of(spile_promise promise, const spile_ctx *ctx, char *text, size_t size) {
    if (ctx->containment >= SPILE_CONTAINMENT_REAPER &&
        !(promise & (SPILE_PROMISE_PROGRAM_MEMORY | SPILE_PROMISE_NO_SWAP | SPILE_PROMISE_STANDSTILL))) {
        snprintf(text, size, "a context that does not decline namespaces");
        return;
    }
    switch (promise) {
    case SPILE_PROMISE_CONTAINED:
    case SPILE_PROMISE_PRIVATE:
    case SPILE_PROMISE_FILES:
    case SPILE_PROMISE_PRIVATE_PATH:
        machine_namespace_cure(text, size);
        return;
    case SPILE_PROMISE_PROCESSES:
    case SPILE_PROMISE_PROGRAM_MEMORY:
        snprintf(
            text, size,
            "a control group that may have groups beside it: systemd-run --user --scope COMMAND under systemd; in a "
            "container, /sys/fs/cgroup writable, in version 2 with COMMAND in a group below one that hands on memory "
            "and "
            "pids (cgroup.subtree_control)%s",
            promise == SPILE_PROMISE_PROCESSES ? "; or user namespaces, as an ordinary user" : "");
        return;
    case SPILE_PROMISE_NO_SWAP:
        snprintf(text, size, "swapoff -a; or run as root on Linux 6.4 or later");
        return;
    case SPILE_PROMISE_STANDSTILL:
        snprintf(text, size, "see 'waits'");
        return;
    }
}

static int examine_promise(struct spile_doctor *doctor, spile_ctx *ctx, spile_loop *loop, size_t index) {
    spile_promise promise = (spile_promise)(1u << index);
    spile_containment containment;
    AUTO_ERROR error = NULL;
    char cure[400] = "";
    int result = visit_cell(ctx, loop, promise, &containment, &error);
    if (result < 0)
        return result;
    if (error)
        cure_of(promise, ctx ? ctx : ctx_default(), cure, sizeof(cure));
    /* Behind "the promise ... can't be kept here": */
    const char *why = error ? spile_error_get_message(error) : promised[index], *colon = strstr(why, "here: ");
    return add(doctor, promise, spile_promise_name(promise), !error, error && colon ? colon + 6 : why, cure);
}

static int examine_all(struct spile_doctor *doctor, spile_ctx *ctx, spile_loop *loop) {
    struct machine_finding findings[MACHINE_FINDINGS];
    AUTO_ERROR error = NULL;
    int result = visit_cell(ctx, loop, 0, &doctor->containment, &error);
    if (error)
        doctor->containment = SPILE_CONTAINMENT_NONE;
    for (size_t i = 0; i < PROMISE_COUNT && result >= 0; i++)
        result = examine_promise(doctor, ctx, loop, i);
    /* The first one says what is the matter with all cells, if anything. */
    if (result >= 0)
        result = add(doctor, (spile_promise)0, "cells", !error,
                     error ? spile_error_get_message(error) : "programs can be started in cells", NULL);
    bool has_mounts = doctor->containment == SPILE_CONTAINMENT_NAMESPACE;
    const char *refusal = doctor->count > 0 ? doctor->findings[0].text : "";
    if (result >= 0)
        result = add(doctor, (spile_promise)0, "mounts", has_mounts,
                     has_mounts ? "mounts of one's own, for the files of a call" : refusal, NULL);
    size_t count = result < 0 ? 0 : machine_look(findings);
    for (size_t i = 0; i < count && result >= 0; i++)
        result = add(doctor, (spile_promise)0, findings[i].name, findings[i].holds, findings[i].text, findings[i].cure);
    return result;
}

int spile_doctor_new(spile_ctx *ctx, spile_doctor **ret_doctor) {
    if (!ret_doctor)
        return -EINVAL;
    spile_doctor *doctor = memory_zero(1, sizeof(*doctor));
    spile_loop *loop = NULL;
    int result = doctor ? loop_new_inner(&loop) : -ENOMEM;
    if (result >= 0)
        result = examine_all(doctor, ctx, loop);
    spile_loop_free(loop);
    if (result < 0) {
        spile_doctor_free(doctor);
        return result;
    }
    *ret_doctor = doctor;
    return 0;
}

spile_doctor *spile_doctor_free(spile_doctor *doctor) {
    for (size_t i = 0; doctor && i < doctor->count; i++) {
        free(doctor->findings[i].text);
        free(doctor->findings[i].cure);
    }
    free(doctor);
    return NULL;
}

spile_containment spile_doctor_containment(const spile_doctor *doctor) {
    return doctor->containment;
}

size_t spile_doctor_count(const spile_doctor *doctor) {
    return doctor->count;
}

int spile_doctor_finding(const spile_doctor *doctor, size_t index, spile_finding *info) {
    if (!doctor || !info || info->size == 0 || index >= doctor->count)
        return -EINVAL;
    const struct finding *finding = &doctor->findings[index];
    const spile_finding found = {.size = info->size,
                                 .promise = finding->promise,
                                 .name = finding->name,
                                 .holds = finding->holds,
                                 .text = finding->text,
                                 .cure = finding->cure};
    memcpy(info, &found, MIN(info->size, sizeof(found)));
    return 0;
}
