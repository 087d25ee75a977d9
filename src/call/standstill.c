/* Whether the programs of a call stand still, and what follows. */
#include "call/flow.h"

void standstill_watch(spile_call *call) {
    (void)call;
}

void standstill_stop(spile_call *call) {
    loop_timer_clear(&call->look);
}
