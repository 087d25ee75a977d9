/* What an expect looks for: a set of patterns, compiled. Immutable, counted, shared by threads. */
#pragma once

#include "base/error.h"
#include "spile.h"
#include "talk/automaton.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdatomic.h>

struct pattern {
    spile_pattern_kind kind;
    spile_pattern_mode mode;
    char *text;
    size_t text_size;
    pcre2_code *code;
    bool looks_behind; /* what was taken before matters to it */
    uint32_t groups;   /* and the match itself */
};

struct spile_patterns {
    atomic_uint users;
    struct pattern *items;
    size_t count, regex_count;
    bool has_end, has_timeout, looks_behind, is_bytes;
    size_t end_index, timeout_index;
    struct automaton automaton;
    pcre2_general_context *memory;
    pcre2_match_context *limits;
};

spile_patterns *patterns_ref(const spile_patterns *patterns);
