/* Makes every point that can fail do so, one after the other, in something that is lived through again each time. */
#pragma once

#include "base/fault.h"
#include "base/util.h"

struct fault_walk {
    /* Lives through it, stops the failing (plan->key = 0) and checks what came of it. `where` says what fails; NULL:
     * nothing does, and all must go well. */
    void (*live)(int scenario, const char *where);
    bool (*is_wanted)(const struct fault_entry *entry); /* NULL: all points are */
    bool (*may_last)(const struct fault_entry *entry);  /* may fail from there on, too; NULL: all may */
};

/* The first passes of each point fail once and from there on; a transfer is interrupted, refused and cut short, too.
 * Returns how many passes that were. */
unsigned fault_walk(struct fault_plan *plan, int scenario, const struct fault_walk *walk);
