/* What other rooms may ask of a context, beside leasing cells (cell.h). Both accept NULL for the library's own. */
#pragma once

#include "base/loop.h"

/* The context that NULL stands for, made at its first use; NULL where memory lacks. Never freed. It and the registry of
 * base/forkguard are all the library keeps by itself: callers need not carry a context, and fork concerns them all. */
spile_ctx *ctx_default(void);
/* Inner loops (loop_new_inner) kept for the next blocking call: making one costs several system calls. NULL: none is
 * there. */
spile_loop *ctx_take_loop(spile_ctx *ctx);
/* Keeps it, or frees it where enough are kept. Nothing may be left on it. */
void ctx_give_loop(spile_ctx *ctx, spile_loop *loop);
