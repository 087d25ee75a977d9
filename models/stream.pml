/* The life of one stream between two programs, or (HELD) of bytes that the host holds and one program reads.
 *
 * Names are those of src/stream/: the states are enum generation_state, the faults enum stream_fault, the variables the
 * fields, and each inline is a step of the function of that name. README.md says what is left out, how to run it, and
 * how to read a trail.
 *
 *   -DWRITER_OPENS=n -DREADER_OPENS=n -DBYTES=n   how often a program may open its end; how much is written at most
 *   -DHELD                                        the source is memory: no program writes
 *   -DPLAIN_READER, -DPLAIN_WRITER                that program reads to the end, or writes and exits, and no more
 *   -DMUTANT=name                                 breaks one rule, to show that it is needed
 */
#ifndef WRITER_OPENS
#define WRITER_OPENS 1
#endif
#ifndef READER_OPENS
#define READER_OPENS 1
#endif
#ifndef BYTES
#define BYTES 2
#endif
#define PIPE 1   /* bytes that a pipe of the kernel holds */
#define WINDOW 1 /* bytes that the window holds at first */
#define WRITERS (WRITER_OPENS + 1)
#define READERS (READER_OPENS + 1)
#define NEVER 255

/* Mutants, each with what it makes happen. */
#define none 0
#define no_gate           1  /* two opens that write share a pipe */
#define gate_is_data      2  /* a byte is invented */
#define look_before_arm   3  /* bytes before the open */
#define end_before_drain  4  /* bytes are lost */
#define no_watch_drain    5  /* bytes are lost */
#define end_at_hangup     6  /* a reopen that came in time is refused */
#define no_take_back      7  /* bytes are lost */
#define no_late_open      8  /* bytes are lost */
#define late_by_hangup    9  /* bytes are lost */
#define after_end_is_lost 10 /* bytes are lost */
#define written_twice     11 /* a byte is seen twice */
#define newest_first      12 /* bytes change their order */
#define end_is_kept       13 /* a reader waits for ever */
#define no_settle         14 /* a reader waits for ever */
#define no_refuse         15 /* a writer waits for ever */
#define no_growth         16 /* a writer waits for ever */
#define refuse_forgets    17 /* an open waits for ever */
#define full_spins        18 /* the loop never sleeps */
#define no_spill          19 /* a writer waits for ever */
#ifndef MUTANT
#define MUTANT none
#endif

mtype:generation_state = { GENERATION_ARMED, GENERATION_IDLE, GENERATION_OPEN, GENERATION_CLOSED };
mtype:stream_fault = { STREAM_FAULT_SYSTEM, STREAM_FAULT_INPUT_AGAIN, STREAM_FAULT_TWO_READERS,
                       STREAM_FAULT_OUTPUT_AGAIN, STREAM_FAULT_OUTPUT_LATE, STREAM_FAULT_OUTPUT_READ,
                       STREAM_FAULT_REPLACED };
mtype = { READER, WRITER };

typedef generation {
    mtype:generation_state state;
    bool is_ours;       /* our side is open: fd >= 0 */
    bool is_kept;       /* readers: we can see what it has not read */
    bool is_ready;      /* on the loop, which is told of what its pipe is ready for */
    byte start, offset; /* readers: as in struct generation */
    bool is_gated;      /* writers: full of what we wrote */
    bool is_held;       /* a program has the other side open */
    byte last_open;     /* writers: which open wrote into it */
};
generation readers[READERS], writers[WRITERS];
chan read_pipes[READERS] = [PIPE] of { byte };
chan write_pipes[WRITERS] = [PIPE] of { byte };
byte reader_name, writer_name; /* the generation that stands at the name */

bool reader_is_exited, reader_is_finished;
byte reader_offset;
bool writer_is_exited, writer_is_opened, writer_is_refused;
bool is_ended, is_held_back, is_spilling;
byte window_base, window_size, window_limit = WINDOW;
byte window[BYTES + 1]; /* by offset in the stream */

/* What the kernel and the supervisor tell, each in its own order only. */
#define EVENTS (2 * WRITER_OPENS + 3 * READER_OPENS + 1)
chan events = [EVENTS] of { mtype, byte, bool }; /* end, generation, whether it was an open */
mtype last_end;
byte last_generation;
bool last_is_open;
chan exits = [2] of { mtype };

/* What the host is in the middle of. */
bool wants_serve, wants_take;
byte turn, from;               /* where that is */
byte looked_reader = NEVER, looked_writer = NEVER;
mtype leaving;                 /* whose exit is told, while events are drained */
bool is_twice, will_hold_back;
bool is_large; /* the system grants large pipes */

mtype:stream_fault failed;
bool is_over, is_stuck; /* the call ended well; all stands still for ever, and that is told */

/* What only the properties see. */
byte written, written_at_exit; /* bytes that writes succeeded with: they are 1, 2, 3... */
byte writer_opens, reader_opens, reader_got;
bool reader_took, reader_saw_end, reader_has_left, reader_has_exited;
bool writer_has_exited, child_has_opened, is_settled;
mtype who_waits; /* for the exit of the other program */

#if WRITERS == 2
#define ANY_WRITER(what) (what(0) || what(1))
#elif WRITERS == 3
#define ANY_WRITER(what) (what(0) || what(1) || what(2))
#else
#define ANY_WRITER(what) (what(0) || what(1) || what(2) || what(3))
#endif
#if READERS == 2
#define ANY_READER(what) (what(0) || what(1))
#elif READERS == 3
#define ANY_READER(what) (what(0) || what(1) || what(2))
#else
#define ANY_READER(what) (what(0) || what(1) || what(2) || what(3))
#endif

/* ---------------------------------------------------------------------------------------------------- the kernel */

/* Equal events that come one after the other are one. */
inline tell(end, place, is_open) {
    d_step {
        if
        :: len(events) > 0 && last_end == end && last_generation == place && last_is_open == is_open
        :: else ->
            assert(len(events) < EVENTS);
            events!end,place,is_open;
            last_end = end;
            last_generation = place;
            last_is_open = is_open
        fi
    }
}

/* ---------------------------------------------------------------------------------------------------- stream.c */

#define ROOM_LEFT (window_limit > window_size)
#ifdef HELD
#define END BYTES
#else
#define END (window_base + window_size)
#endif
#define IS_OPEN_WRITER(g) (writers[g].is_ours && writers[g].state == GENERATION_OPEN)
#define IS_OPEN_READER(g) (readers[g].is_ours && readers[g].state == GENERATION_OPEN)
#define WRITER_IS_CLOSED (!ANY_WRITER(IS_OPEN_WRITER))
#define IS_HELD(g) (writers[g].is_held)
#define HAS_BYTES(g) (IS_OPEN_WRITER(g) && len(write_pipes[g]) > 0)
#define WRITER_HAS_MORE ANY_WRITER(HAS_BYTES)
#define HAS_INPUT(g) (len(write_pipes[g]) > 0 || !writers[g].is_held)
#define HAS_OUTPUT(g) (len(read_pipes[g]) < PIPE || !readers[g].is_held)
#define IS_READABLE(g) (writers[g].is_ours && writers[g].is_ready && HAS_INPUT(g))
#define IS_WRITABLE(g) (readers[g].is_ours && readers[g].is_ready && HAS_OUTPUT(g))
#define HAS_WRITER_WORK(g) (IS_OPEN_WRITER(g) && !is_held_back && ROOM_LEFT && HAS_INPUT(g))
#define HAS_READER_WORK(g) \
    (IS_OPEN_READER(g) && (!readers[g].is_held || ((is_ended || is_held_back || readers[g].offset < END) && HAS_OUTPUT(g))))
#define STREAM_HAS_WORK (ANY_WRITER(HAS_WRITER_WORK) || ANY_READER(HAS_READER_WORK))
#define CAN_SETTLE \
    (MUTANT != no_settle && !is_ended && writer_is_opened && !writer_is_refused && \
     (WRITER_IS_CLOSED || (writer_is_exited && !WRITER_HAS_MORE)))

inline set_generation(generation_of, next) {
    assert((generation_of.state == GENERATION_ARMED && (next == GENERATION_IDLE || next == GENERATION_OPEN)) ||
           (generation_of.state == GENERATION_IDLE && next == GENERATION_OPEN) ||
           (generation_of.state == GENERATION_OPEN && (next == GENERATION_IDLE || next == GENERATION_CLOSED)) ||
           (generation_of.state == GENERATION_CLOSED && (next == GENERATION_IDLE || next == GENERATION_OPEN)));
    generation_of.state = next
}

inline generation_close(generation_of) {
    generation_of.is_ours = false;
    generation_of.is_ready = false
}

/* Only who gave a reason is told. */
inline stream_fail(fault) {
    assert((fault == STREAM_FAULT_INPUT_AGAIN && reader_opens > 1 && reader_took) ||
           (fault == STREAM_FAULT_OUTPUT_AGAIN && is_settled) ||
           (fault == STREAM_FAULT_OUTPUT_LATE && (is_settled || child_has_opened)));
    failed = fault
}

/* The lowest offset that the reader may still ask for: reader_needs. */
inline find_lowest() {
    lowest = (reader_is_finished || reader_is_exited -> NEVER : reader_offset);
    index = 0;
    do
    :: index > reader_name || reader_is_exited -> break
    :: else ->
        if
        :: readers[index].state == GENERATION_OPEN -> lowest = readers[index].offset; break
        :: readers[index].state == GENERATION_CLOSED -> lowest = NEVER
        :: else
        fi;
        index++
    od;
    index = 0
}

/* Lets go of what nobody needs, and takes more in. */
inline stream_consumed() {
#ifndef HELD
    find_lowest();
    was_full = !ROOM_LEFT;
    do
    :: window_size > 0 && lowest > window_base ->
        window[window_base] = 0;
        window_base++;
        window_size--
    :: else -> break
    od;
    if
    :: lowest == NEVER && !is_ended && !writer_is_refused && MUTANT != no_refuse -> writer_refuse()
    :: else
    fi;
    /* may_go_on */
    wants_take = (wants_take || (ROOM_LEFT && (is_held_back -> window_size == 0 || !ANY_READER(IS_OPEN_READER) : was_full)));
    lowest = 0;
    was_full = false
#else
    skip
#endif
}

/* ---------------------------------------------------------------------------------------------------- reader.c */

inline reader_arm() {
    assert(reader_name < READERS - 1);
    reader_name++;
    readers[reader_name].state = GENERATION_ARMED;
    readers[reader_name].is_ours = true
}

/* An open took nothing: what its pipe still holds and the window does not is put before the window's first byte. What
 * somebody may still read stays in the pipe, too. */
inline begin_again(g) {
    set_generation(readers[g], GENERATION_IDLE);
    back = (window_base > readers[g].start -> window_base - readers[g].start : 0);
    place = readers[g].start;
    do
    :: place < readers[g].offset ->
        read_pipes[g]?value;
        window[place] = (MUTANT != no_take_back || place >= window_base -> value : window[place]);
        place++;
        if
        :: readers[g].is_kept -> read_pipes[g]!value
        :: else
        fi
    :: else -> break
    od;
    if
    :: MUTANT != no_take_back -> window_base = window_base - back; window_size = window_size + back
    :: else
    fi;
    readers[g].offset = readers[g].start;
    reader_offset = readers[g].start;
    back = 0;
    place = 0;
    value = 0
}

/* Opens that were told the end while all of it lay in their pipes do not count where they read none of that. */
inline recover() {
    index = 0;
    do
    :: index > reader_name -> break
    :: else ->
        if
        :: readers[index].is_kept && readers[index].offset - readers[index].start == len(read_pipes[index]) ->
            begin_again(index);
            readers[index].is_kept = false
        :: else -> readers[index].is_kept = false
        fi;
        index++
    od;
    index = 0
}

/* Its program closed it before the end. */
inline left(g) {
    readers[g].is_ready = false;
#ifdef HELD
    set_generation(readers[g], GENERATION_CLOSED);
    generation_close(readers[g]);
#else
    if
    :: readers[g].offset - readers[g].start > len(read_pipes[g]) ->
        set_generation(readers[g], GENERATION_CLOSED);
        generation_close(readers[g]);
        reader_is_finished = true
    :: else ->
        begin_again(g);
        tell(READER, g, true) /* it was opened for that */
    fi;
#endif
    stream_consumed()
}

/* One system call of serving all that is open: reader_pump, serve. */
inline serve_step() {
    do
    :: turn < READERS && (readers[turn].state != GENERATION_OPEN || reader_is_exited) -> turn++
    :: else -> break
    od;
    if
    :: turn == READERS ->
        turn = 0;
        wants_serve = false;
        stream_consumed()
    :: else ->
        assert(readers[turn].offset >= window_base);
        if
        :: readers[turn].offset >= END && is_ended ->
            set_generation(readers[turn], GENERATION_CLOSED);
            reader_offset = readers[turn].offset;
            readers[turn].is_ready = false;
#ifndef HELD
            readers[turn].is_kept = (MUTANT != end_is_kept);
#endif
            readers[turn].is_ours = (MUTANT == end_is_kept);
            turn++
        :: readers[turn].offset >= END && !is_ended -> readers[turn].is_ready = is_held_back; turn++
        :: readers[turn].offset < END && !readers[turn].is_held -> left(turn); turn++
        :: readers[turn].offset < END && readers[turn].is_held && len(read_pipes[turn]) == PIPE ->
            readers[turn].is_ready = true;
            turn++
        :: readers[turn].offset < END && readers[turn].is_held && len(read_pipes[turn]) < PIPE ->
            read_pipes[turn]!window[readers[turn].offset];
            if
            :: MUTANT == written_twice && readers[turn].offset == 1 && !is_twice -> is_twice = true
            :: else -> readers[turn].offset++
            fi
        fi
    fi
}

inline reader_begin(g) {
#ifndef HELD
    recover();
    place = 0;
    do
    :: place < READERS && (place == g || readers[place].state != GENERATION_OPEN) -> place++
    :: else -> break
    od;
    index = place;
    place = 0;
    if
    :: index < READERS && readers[index].is_held -> stream_fail(STREAM_FAULT_TWO_READERS)
    :: index < READERS && !readers[index].is_held -> turn = index; left(turn); turn = 0
    :: else
    fi;
    index = 0;
    if
    :: failed == 0 && (reader_is_finished || reader_offset > 0) -> stream_fail(STREAM_FAULT_INPUT_AGAIN)
    :: else
    fi;
    readers[g].start = reader_offset;
#endif
    set_generation(readers[g], GENERATION_OPEN);
    readers[g].offset = readers[g].start;
    wants_serve = true
}

/* Something opened or closed it: what matters is how it is now. */
inline reader_looked(g) {
    if
    :: !readers[g].is_ours || reader_is_exited || (readers[g].state == GENERATION_OPEN && readers[g].is_held)
    :: else ->
        if
        :: readers[g].state == GENERATION_ARMED && MUTANT != look_before_arm -> reader_arm(); looked_reader = g
        :: readers[g].state == GENERATION_ARMED && MUTANT == look_before_arm ->
            readers[g].state = GENERATION_IDLE;
            looked_reader = g;
            if
            :: readers[g].is_held -> reader_begin(g)
            :: else
            fi
        :: readers[g].state == GENERATION_IDLE && readers[g].is_held -> reader_begin(g)
        :: readers[g].state == GENERATION_IDLE && !readers[g].is_held
        :: readers[g].state == GENERATION_OPEN -> left(g); stream_consumed()
        :: readers[g].state == GENERATION_CLOSED
        fi
    fi
}

/* The next one is armed: only now it is looked whether somebody has this one. */
inline reader_looked_again(g) {
    if
    :: MUTANT == look_before_arm -> reader_arm()
    :: else ->
        set_generation(readers[g], GENERATION_IDLE);
        if
        :: readers[g].is_held -> reader_begin(g)
        :: else
        fi
    fi
}

/* ---------------------------------------------------------------------------------------------------- writer.c */

inline writer_arm() {
    assert(writer_name < WRITERS - 1);
    writer_name++;
    writers[writer_name].state = GENERATION_ARMED;
    writers[writer_name].is_ours = true;
    writers[writer_name].is_gated = (MUTANT != no_gate)
}

/* Whoever has one open learns that nobody wants the data. Where nobody has, somebody may be on the way who looked the
 * name up before the next generation stood there: that open must not wait for ever. */
inline refuse(g) {
    if
    :: writers[g].is_held || MUTANT == refuse_forgets -> generation_close(writers[g])
    :: else ->
        writers[g].is_ready = false;
        writers[g].state = GENERATION_CLOSED
    fi
}

inline writer_refuse() {
    writer_is_refused = true;
    index = 0;
    do
    :: index > writer_name -> break
    :: else ->
        if
        :: writers[index].is_ours && writers[index].state != GENERATION_ARMED -> refuse(index)
        :: else
        fi;
        index++
    od;
    index = 0
}

/* The open of the only reader. */
inline find_only_open() {
    index = 0;
    place = NEVER;
    do
    :: index > reader_name || reader_is_exited -> break
    :: else ->
        if
        :: readers[index].state == GENERATION_OPEN -> place = index
        :: else
        fi;
        index++
    od;
    index = 0
}

#define FROM (MUTANT == newest_first -> writer_name - from : from)

/* One read of what one generation has. */
inline take(g) {
    assert(!reader_is_finished && !reader_is_exited || is_ended || len(write_pipes[g]) == 0); /* not for nobody */
    find_only_open();
    if
    :: place != NEVER && window_size == 0 && len(write_pipes[g]) > 0 && readers[place].is_held &&
       len(read_pipes[place]) < PIPE ->
        assert(readers[place].offset == window_base);
        write_pipes[g]?value; /* stream_splice */
        read_pipes[place]!value;
        readers[place].offset++;
        window_base++;
        is_late = is_ended
    :: place != NEVER && len(write_pipes[g]) > 0 && is_large && !is_spilling &&
       (window_size > 0 || (readers[place].is_held && len(read_pipes[place]) == PIPE)) ->
        /* A large pipe can keep it until the reader's has room. */
        will_hold_back = true;
        writers[g].is_ready = false;
        from = WRITERS
    :: else ->
        if
        :: !ROOM_LEFT ->
            writers[g].is_ready = (MUTANT == full_spins);
            from = WRITERS
        :: ROOM_LEFT && len(write_pipes[g]) > 0 ->
            write_pipes[g]?value;
            window[END] = value;
            window_size++;
            is_late = is_ended;
            wants_serve = true
        :: ROOM_LEFT && len(write_pipes[g]) == 0 && writers[g].is_held -> writers[g].is_ready = true; from++
        :: ROOM_LEFT && len(write_pipes[g]) == 0 && !writers[g].is_held ->
            writers[g].is_ready = false;
            set_generation(writers[g], GENERATION_CLOSED);
            from++
        fi
    fi;
    if
    :: is_late && MUTANT != after_end_is_lost -> stream_fail(STREAM_FAULT_OUTPUT_LATE)
    :: else
    fi;
    is_late = false;
    place = 0;
    value = 0
}

/* Whether the reader's pipe is waited for, too. */
inline stream_hold_back() {
    wants_serve = (wants_serve || (is_held_back != will_hold_back));
    is_held_back = will_hold_back;
    will_hold_back = false;
    is_spilling = false
}

inline stream_check_end() {
    if
    :: !is_ended && ((writer_is_exited && (WRITER_IS_CLOSED || MUTANT == end_before_drain)) ||
                     (MUTANT == end_at_hangup && writer_is_opened && WRITER_IS_CLOSED)) ->
        is_ended = true;
        wants_serve = true
    :: else
    fi
}

/* One system call of taking in what all have: writer_pump. */
inline take_step() {
    do
    :: from <= writer_name && !IS_OPEN_WRITER(FROM) -> from++
    :: else -> break
    od;
    if
    :: from > writer_name ->
        from = 0;
        wants_take = false;
        stream_hold_back();
        stream_check_end()
    :: else -> index = FROM; turn = index; index = 0; take(turn); turn = 0
    fi
}

inline writer_begin(g) {
    writer_is_opened = true;
    if
    :: is_ended && !writer_is_exited && !writer_is_refused -> stream_fail(STREAM_FAULT_OUTPUT_AGAIN)
    :: else
    fi;
    set_generation(writers[g], GENERATION_OPEN);
    if
    :: writer_is_refused -> refuse(g)
    :: else -> wants_take = true
    fi
}

inline writer_looked(g) {
    if
    :: writers[g].is_ours && writers[g].state == GENERATION_ARMED -> writer_arm(); looked_writer = g
    :: writers[g].is_ours && writers[g].state == GENERATION_CLOSED && MUTANT != no_late_open &&
       (writers[g].is_held || (len(write_pipes[g]) > 0 && MUTANT != late_by_hangup)) ->
        writer_begin(g)
    :: else
    fi
}

/* The next one is armed: what is written into this one is data from now on. */
inline open_gate(g) {
    if
    :: MUTANT == gate_is_data && len(write_pipes[g]) < PIPE -> write_pipes[g]!0
    :: else
    fi;
    writers[g].is_gated = false;
    writer_begin(g)
}

/* ---------------------------------------------------------------------------------------------------- the call */

inline program_exited() {
    if
    :: leaving == WRITER -> writer_is_exited = true; wants_take = true
    :: else ->
        reader_is_exited = true;
        do
        :: index > reader_name -> break
        :: else -> generation_close(readers[index]); index++
        od;
        index = 0;
        stream_consumed()
    fi;
    leaving = 0
}

inline end_by_stillness() {
    is_ended = true;
    is_settled = true;
    wants_serve = true
}

/* All is blocked. */
inline conclude() {
    if
    :: CAN_SETTLE -> end_by_stillness()
    :: !CAN_SETTLE && !is_ended && !ROOM_LEFT && window_limit < BYTES && MUTANT != no_growth ->
        window_limit = window_limit * 2; /* stream_grow */
        is_spilling = true;
        wants_take = true
    :: else ->
        /* The verdict is right: the reader has all there is and waits for more, and the writer waits for its exit
         * without having opened or closed its end. */
        assert(who_waits == WRITER && !writer_has_exited && (writer_opens == 0 || ANY_WRITER(IS_HELD)) &&
               reader_opens > 0 && !reader_saw_end && reader_got == written);
        is_stuck = true
    fi
}

/* What was told to be the end was the end. What a child of the writer's writes after that may lie in a pipe when the
 * call ends, which ends the child, too; but nothing that came to us is dropped, nor what its program wrote. */
inline end_well() {
    index = 0;
    do
    :: index > writer_name -> break
    :: else -> place = place + len(write_pipes[index]); index++
    od;
    assert(!reader_saw_end || (reader_got + place == written && reader_got >= written_at_exit));
    index = 0;
    place = 0;
    is_over = true
}

#define IS_BUSY (wants_serve || wants_take || looked_reader != NEVER || looked_writer != NEVER)
#define IS_DRAINED (len(events) == 0 || MUTANT == no_watch_drain)

proctype host() {
    byte lowest, index, place, back, value, where;
    bool was_full, is_open, is_late;
    mtype which;
end:
    {
        do
        :: atomic { wants_serve -> serve_step() }
        :: atomic { !wants_serve && wants_take -> take_step() }
        :: atomic { !wants_serve && !wants_take && looked_reader != NEVER ->
                    where = looked_reader; looked_reader = NEVER; reader_looked_again(where); where = 0 }
        :: atomic { !wants_serve && !wants_take && looked_writer != NEVER ->
                    where = looked_writer; looked_writer = NEVER; open_gate(where); where = 0 }
        :: atomic {
            !IS_BUSY && (leaving == 0 || MUTANT != no_watch_drain) && len(events) > 0 ->
            events?which,where,is_open;
            is_open = false;
            if
            :: len(events) == 0 -> last_end = 0; last_generation = 0; last_is_open = false
            :: else
            fi;
            if
            :: which == READER -> reader_looked(where)
            :: else -> writer_looked(where)
            fi;
            which = 0;
            where = 0
           }
        :: atomic { !IS_BUSY && leaving == 0 && len(exits) > 0 -> exits?leaving }
        :: atomic { !IS_BUSY && leaving != 0 && IS_DRAINED -> program_exited() }
#ifndef HELD
        :: atomic { !IS_BUSY && leaving == 0 && ANY_WRITER(IS_READABLE) -> wants_take = true }
        /* A look may find all quiet at any time: programs sleep. */
        /* stream_spill, when nothing moved for a while */
        :: atomic { !IS_BUSY && leaving == 0 && is_held_back && MUTANT != no_spill ->
                    is_spilling = true; wants_take = true }
        :: atomic { !IS_BUSY && leaving == 0 && len(events) == 0 && len(exits) == 0 && CAN_SETTLE && !STREAM_HAS_WORK ->
                    end_by_stillness() }
#endif
        :: atomic { !IS_BUSY && leaving == 0 && !reader_is_exited && ANY_READER(IS_WRITABLE) -> wants_serve = true }
        :: atomic { !IS_BUSY && leaving == 0 && reader_is_exited && writer_is_exited -> end_well(); break }
        :: atomic { timeout -> conclude() }
        od
    } unless { failed != 0 || is_stuck }
}

/* ---------------------------------------------------------------------------------------------------- programs */

#define STOPS { failed != 0 || is_stuck || is_over }

/* Opens, writes, closes as often as it may; exits at any time, and may leave a child that goes on with all that. */
proctype writer_program() {
    byte fd = NEVER;
    {
        do
        :: fd == NEVER && writer_opens < WRITER_OPENS ->
            fd = writer_name; /* the kernel looks the name up, and opens what stood there */
            atomic {
                writers[fd].is_ours ->
                writers[fd].is_held = true;
                writer_opens++;
                child_has_opened = writer_has_exited
            };
            tell(WRITER, fd, true)
        :: atomic {
            fd != NEVER && written < BYTES ->
            (!writers[fd].is_ours || (len(write_pipes[fd]) < PIPE && !writers[fd].is_gated));
            if
            :: !writers[fd].is_ours -> assert(reader_has_left || reader_has_exited); break /* a broken pipe */
            :: else ->
                assert(writers[fd].last_open == 0 || writers[fd].last_open == writer_opens);
                writers[fd].last_open = writer_opens;
                written++;
                write_pipes[fd]!written
            fi
           }
#ifdef PLAIN_WRITER
        :: written == BYTES -> break
#else
        :: fd != NEVER ->
            tell(WRITER, fd, false); /* the kernel tells of a close before it is one */
            atomic { writers[fd].is_held = false; fd = NEVER }
        :: atomic { who_waits == 0 && !writer_has_exited && !reader_has_exited -> who_waits = WRITER };
            reader_has_exited
        :: atomic { !writer_has_exited -> writer_has_exited = true; written_at_exit = written; exits!WRITER }
        :: break
#endif
        od;
        if
        :: fd != NEVER -> tell(WRITER, fd, false); atomic { writers[fd].is_held = false; fd = NEVER }
        :: else
        fi;
        if
        :: atomic { !writer_has_exited -> writer_has_exited = true; written_at_exit = written; exits!WRITER }
        :: else
        fi
    } unless STOPS
}

/* Opens, reads, closes as often as it may; looks at nothing, leaves early, reads to the end; exits at any time. */
proctype reader_program() {
    byte fd = NEVER, value;
    {
        do
        :: fd == NEVER && reader_opens < READER_OPENS ->
            fd = reader_name;
            atomic {
                readers[fd].is_ours ->
                assert(len(read_pipes[fd]) == 0); /* no byte before the open */
                readers[fd].is_held = true;
                reader_opens++;
                reader_got = 0;
                reader_saw_end = false
            };
            tell(READER, fd, true)
        :: atomic {
            fd != NEVER && !reader_saw_end ->
            (len(read_pipes[fd]) > 0 || !readers[fd].is_ours);
            if
            :: len(read_pipes[fd]) > 0 ->
                read_pipes[fd]?value;
                assert(value == reader_got + 1); /* nothing is lost, doubled, invented, or out of order */
                reader_got = value;
                value = 0;
                reader_took = true
            :: else -> reader_saw_end = true
            fi
           }
#ifdef PLAIN_READER
        :: reader_saw_end -> break
#else
        :: fd != NEVER ->
            tell(READER, fd, false);
            atomic { readers[fd].is_held = false; fd = NEVER; reader_has_left = true }
        :: atomic { who_waits == 0 && !writer_has_exited -> who_waits = READER }; writer_has_exited
        :: break
#endif
        od;
        if
        :: fd != NEVER ->
            tell(READER, fd, false);
            atomic { readers[fd].is_held = false; fd = NEVER; reader_has_left = true }
        :: else
        fi;
        atomic { reader_has_exited = true; exits!READER }
    } unless STOPS
}

init {
    atomic {
        readers[0].state = GENERATION_ARMED;
        readers[0].is_ours = true;
#ifdef HELD
        do
        :: written < BYTES -> written++; window[written - 1] = written
        :: else -> break
        od;
        is_ended = true;
        writer_is_exited = true;
        writer_has_exited = true;
        written_at_exit = BYTES;
#else
        writers[0].state = GENERATION_ARMED;
        writers[0].is_ours = true;
        writers[0].is_gated = (MUTANT != no_gate);
        if
        :: is_large = true
        :: is_large = false
        fi;
        run writer_program();
#endif
        run reader_program();
        run host()
    }
}
