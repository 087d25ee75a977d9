/* In place of line_editor.c where libedit was not there when spile was built. */
#include "interactive.h"

const char *const line_editor_missing =
    "this build of spile has no line editing, for libedit was missing: type with --raw, or build it with libedit-dev";

int line_editor_run(struct interactive *interactive) {
    (void)interactive;
    return EXIT_OWN_ERROR;
}
