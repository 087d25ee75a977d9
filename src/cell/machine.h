/* What the machine grants, one thing after the other, and what is known to help where it does not. */
#pragma once

#include "base/util.h"

struct machine_finding {
    const char *name;
    bool holds;
    char text[400];
    char cure[400]; /* "": none is known, or none is needed */
};

enum { MACHINE_FINDINGS = 12 };

/* Looks at everything; returns how many there are. */
size_t machine_look(struct machine_finding findings[MACHINE_FINDINGS]);
/* What may help against namespaces that are refused. */
void machine_namespace_cure(char *text, size_t size);
