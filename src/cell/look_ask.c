/* Asking for a look (cell_look, see cell.h): of the supervisor, and where there is none, by ourselves, from a step.
 * States: answer set (one is under way), or not.
 */
#include "cell/pool.h"

void cell_end_look(struct cell *cell) {
    cell->answer = NULL;
    loop_timer_clear(&cell->look_timer);
    free(TAKE_POINTER(cell->inodes));
}

static void give_answer(struct cell *cell, const struct cell_look *look) {
    void (*answer)(struct cell_owner * owner, const struct cell_look *look) = cell->answer;
    cell_end_look(cell);
    answer(cell->owner, look);
}

bool cell_take_look(struct cell *cell, const struct wire_message *message) {
    const struct wire_header *header = &message->header;
    struct cell_wait waits[WIRE_TEXT_MAX / sizeof(struct cell_wait)];
    if (header->looked.count > ARRAY_SIZE(waits) || header->looked.count * sizeof(*waits) != message->body_size)
        return false;
    if (!cell->answer || header->id != cell->look_id)
        return true; /* of an earlier lease */
    memcpy(waits, message->body, message->body_size);
    const struct cell_look look = {
        .quiet = header->looked.quiet,
        .proved = header->looked.proved,
        .waits = waits,
        .count = header->looked.count,
        .total = header->looked.total,
    };
    give_answer(cell, &look);
    return true;
}

static void look_plainly(struct loop_timer *timer) {
    struct cell *cell = CONTAINER_OF(timer, struct cell, look_timer);
    struct cell_wait waits[WIRE_TEXT_MAX / sizeof(struct cell_wait)];
    struct cell_look look = {.waits = waits};
    size_t count = 0;
    for (const struct proc *proc = cell->procs; proc; proc = proc->next)
        count++;
    AUTO_FREE struct look_program *programs = memory_new((count + 1) * sizeof(*programs));
    if (programs) {
        struct look_program *program = programs;
        for (const struct proc *proc = cell->procs; proc; proc = proc->next)
            if (proc->pidfd >= 0)
                *program++ = (struct look_program){proc->id, proc->pid};
        const struct look_place place = {
            .containment = SPILE_CONTAINMENT_NONE,
            .programs = programs,
            .program_count = (size_t)(program - programs),
            .root = cell->root,
            .path = cell->path,
            .inodes = cell->inodes,
            .inode_count = cell->inode_count,
        };
        look_twice(&place, waits, ARRAY_SIZE(waits), &look);
    }
    give_answer(cell, &look);
}

int cell_look(struct cell *cell, const struct cell_inode *inodes, size_t count,
              void (*answer)(struct cell_owner *owner, const struct cell_look *look)) {
    if (cell->state != CELL_READY && cell->state != CELL_PLAIN)
        return cell->state == CELL_BROKEN ? -EPIPE : -EINVAL;
    if (cell->answer)
        return -EBUSY;
    if (count > WIRE_BODY_MAX / sizeof(*inodes))
        return -E2BIG;
    if (cell->state == CELL_PLAIN) {
        cell->inodes = memory_new((count + 1) * sizeof(*inodes));
        if (!cell->inodes)
            return -ENOMEM;
        if (count)
            memcpy(cell->inodes, inodes, count * sizeof(*inodes));
        cell->inode_count = count;
        loop_defer(cell->loop, &cell->look_timer, look_plainly);
    } else {
        struct wire_header header = {.type = WIRE_LOOK, .id = ++cell->look_id};
        header.look.count = (uint32_t)count;
        int result = cell_send(cell, &header, inodes, count * sizeof(*inodes), NULL, 0);
        if (result < 0)
            return result;
    }
    cell->answer = answer;
    return 0;
}
