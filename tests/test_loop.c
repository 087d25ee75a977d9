/* The loop: order of timers and deferrals, removal while it dispatches, waking, and calls driven from a loop of
 * another's that sees nothing but one descriptor. */
#include "base/loop.h"
#include "support.h"

/* ------------------------------------------------------------------------------------------------ timers */

struct ring {
    spile_loop *loop;
    struct loop_user user;
    struct text order;
    struct ticker *all;
};

struct ticker {
    struct loop_timer timer;
    struct ring *ring;
    char name;
    struct ticker *other; /* cleared when this one comes */
    bool again;           /* due at once, once more */
};

static void tick(struct loop_timer *timer) {
    struct ticker *self = CONTAINER_OF(timer, struct ticker, timer);
    text_add(&self->ring->order, &self->name, 1);
    if (self->other)
        loop_timer_clear(&self->other->timer);
    if (self->again)
        loop_defer(self->ring->loop, &self->timer, tick);
    self->again = false;
}

static void ring_open(struct ring *ring) {
    *ring = (struct ring){0};
    ck_assert_int_eq(spile_loop_new(&ring->loop), 0);
    loop_join(ring->loop, &ring->user);
}

static void ring_close(struct ring *ring) {
    loop_leave(&ring->user);
    text_done(&ring->order);
    spile_loop_free(ring->loop);
}

START_TEST(timers_in_order) {
    struct ring ring;
    ring_open(&ring);
    uint64_t now = time_now_ns();
    struct ticker tickers[6] = {0};
    for (size_t i = 0; i < ARRAY_SIZE(tickers); i++)
        tickers[i] = (struct ticker){.ring = &ring, .name = (char)('a' + i)};
    loop_timer_set(ring.loop, &tickers[0].timer, now - 1, tick);
    loop_timer_set(ring.loop, &tickers[1].timer, now - 3, tick);
    loop_timer_set(ring.loop, &tickers[2].timer, now - 2, tick);
    loop_defer(ring.loop, &tickers[3].timer, tick);
    loop_timer_set(ring.loop, &tickers[4].timer, now + 3600 * NS_PER_SECOND, tick);
    loop_timer_set(ring.loop, &tickers[5].timer, now - 4, tick);
    loop_timer_set(ring.loop, &tickers[5].timer, NS_FOREVER, tick); /* cleared */
    tickers[1].other = &tickers[2];                                 /* due in the same step, and taken back */
    tickers[3].again = true;                                        /* waits for the next step */
    ck_assert_int_eq(spile_loop_step(ring.loop, 0), 1);
    ck_assert_str_eq(ring.order.data, "dba");
    ck_assert_int_eq(spile_loop_step(ring.loop, UINT64_MAX), 1);
    ck_assert_str_eq(ring.order.data, "dbad");
    ck_assert_int_eq(spile_loop_step(ring.loop, 0), 1);
    ck_assert_str_eq(ring.order.data, "dbad");
    loop_timer_set(ring.loop, &tickers[4].timer, time_now_ns() + NS_PER_MS, tick); /* moved */
    while (ring.order.size == 4)
        ck_assert_int_eq(spile_loop_step(ring.loop, UINT64_MAX), 1);
    ck_assert_str_eq(ring.order.data, "dbade");
    ck_assert_uint_ge(time_now_ns(), now + NS_PER_MS);
    ring_close(&ring);
}
END_TEST

static bool is_readable(int fd, int timeout_ms) {
    struct pollfd watched = {.fd = fd, .events = POLLIN};
    return poll(&watched, 1, timeout_ms) == 1;
}

/* Whoever polls the descriptor is told of timers as well: those set before and after it was asked for. */
START_TEST(outer_loops_see_timers) {
    struct ring ring;
    ring_open(&ring);
    struct ticker ticker = {.ring = &ring, .name = 'a'};
    if (_i == 0)
        loop_timer_set(ring.loop, &ticker.timer, time_now_ns() + 5 * NS_PER_MS, tick);
    int fd = spile_loop_fd(ring.loop);
    if (_i == 1)
        loop_timer_set(ring.loop, &ticker.timer, time_now_ns() + 5 * NS_PER_MS, tick);
    ck_assert(is_readable(fd, 5000));
    while (ring.order.size == 0)
        ck_assert_int_eq(spile_loop_step(ring.loop, 0), 1);
    ck_assert_int_eq(spile_loop_step(ring.loop, 0), 1);
    ck_assert(!is_readable(fd, 0)); /* level-triggered, and nothing is left */
    loop_timer_set(ring.loop, &ticker.timer, time_now_ns() + 3600 * NS_PER_SECOND, tick);
    ck_assert(!is_readable(fd, 0));
    loop_defer(ring.loop, &ticker.timer, tick);
    ck_assert(is_readable(fd, 5000));
    loop_timer_clear(&ticker.timer);
    ring_close(&ring);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ descriptors */

struct ear {
    struct loop_fd source;
    int ends[2];
    struct ear *other;
    int calls;
};

static void hear(struct loop_fd *source, uint32_t events) {
    struct ear *self = CONTAINER_OF(source, struct ear, source);
    ck_assert_uint_ne(events & EPOLLIN, 0);
    self->calls++;
    if (self->other)
        loop_fd_remove(&self->other->source);
}

START_TEST(removed_while_dispatched) {
    struct ring ring;
    struct ear ears[2] = {0};
    ring_open(&ring);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(pipe2(ears[i].ends, O_CLOEXEC), 0);
        ck_assert_int_eq(loop_fd_add(ring.loop, &ears[i].source, ears[i].ends[0], EPOLLIN, hear), 0);
        ears[i].other = &ears[1 - i];
        ck_assert_int_eq(write(ears[i].ends[1], "x", 1), 1);
    }
    ck_assert_int_eq(spile_loop_step(ring.loop, UINT64_MAX), 1);
    ck_assert_int_eq(ears[0].calls + ears[1].calls, 1); /* the first one took the second away */
    struct ear *left = ears[0].calls ? &ears[0] : &ears[1];
    ck_assert_int_eq(loop_fd_change(&left->source, 0), 0);
    ck_assert_int_eq(spile_loop_step(ring.loop, 0), 1);
    ck_assert_int_eq(left->calls, 1);
    ck_assert_int_eq(loop_fd_change(&left->source, EPOLLIN), 0);
    ck_assert_int_eq(spile_loop_step(ring.loop, 0), 1);
    ck_assert_int_eq(left->calls, 2);
    loop_fd_remove(&left->source);
    loop_fd_remove(&left->source);
    AUTO_FD file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(loop_fd_add(ring.loop, &left->source, file, EPOLLIN, hear), -EPERM);
    for (size_t i = 0; i < 2; i++) {
        close(ears[i].ends[0]);
        close(ears[i].ends[1]);
    }
    ring_close(&ring);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ calls */

struct host {
    spile_loop *loop;
    int ended, failed;
    struct text order;
};

static void on_done(void *user, spile_call *call, spile_result *result) {
    struct host *host = user;
    host->ended++;
    host->failed += spile_result_error(result) != NULL;
    ck_assert_int_eq(spile_loop_step(host->loop, 0), -EBUSY);
    spile_result_free(result);
    spile_call_free(call);
}

/* A poll loop that knows no more than a descriptor: several calls at once, timers, a failure, a cancelled one. */
START_TEST(foreign_loop) {
    struct host host = {0};
    size_t fds = open_fds();
    spile_call *calls[6];
    ck_assert_int_eq(spile_loop_new(&host.loop), 0);
    calls[0] = CALL("cat {<in} >{out}", "sort {<out}");
    calls[1] = CALL("sh -c 'exit 3'");
    calls[2] = CALL_WITH(OPTIONS(.limits.wall_ns = 50 * NS_PER_MS), "sleep 60");
    calls[3] = CALL("sleep 60");
    calls[4] = CALL("yes | head -n 3 | tr y n");
    calls[5] = CALL("no-such-program-at-all");
    give(calls[0], "in", "text");
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
        ck_assert_int_eq(spile_call_attach(calls[i], host.loop, on_done, &host), 0);
    ck_assert_int_eq(spile_call_attach(calls[0], host.loop, on_done, &host), -EALREADY);
    spile_result *result = NULL;
    ck_assert_int_eq(spile_call_run(calls[0], &result), -EALREADY);
    ck_assert_int_eq(host.ended, 0); /* not where it is attached, even if it can't start */
    spile_call_cancel(calls[3]);
    int left = 1;
    while (left > 0) {
        ck_assert_msg(is_readable(spile_loop_fd(host.loop), 10000), "%d ended, and nothing tells of the rest",
                      host.ended);
        left = spile_loop_step(host.loop, 0);
        ck_assert_int_ge(left, 0);
        ck_assert_int_eq(left, (int)ARRAY_SIZE(calls) - host.ended);
    }
    ck_assert_int_eq(host.ended, 6);
    ck_assert_int_eq(host.failed, 4);
    ck_assert_int_eq(spile_loop_step(host.loop, UINT64_MAX), 0); /* does not wait for nothing */
    spile_loop_free(host.loop);
    check_nothing_left(fds);
}
END_TEST

START_TEST(freed_with_calls_on_it) {
    struct host host = {0};
    size_t fds = open_fds();
    ck_assert_int_eq(spile_loop_new(&host.loop), 0);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(spile_call_attach(CALL("sleep 60"), host.loop, on_done, &host), 0);
    ck_assert_ptr_null(spile_loop_free(host.loop));
    ck_assert_int_eq(host.ended, 3);
    ck_assert_int_eq(host.failed, 3);
    check_nothing_left(fds);
}
END_TEST

/* The last call's end is where a host likes to let go of everything. */
static void free_all(void *user, spile_call *call, spile_result *result) {
    struct host *host = user;
    host->ended++;
    spile_result_free(result);
    spile_call_free(call);
    ck_assert_ptr_null(spile_loop_free(host->loop));
}

START_TEST(freed_from_a_callback) {
    struct host host = {0};
    size_t fds = open_fds();
    ck_assert_int_eq(spile_loop_new(&host.loop), 0);
    if (_i == 1) /* with another one on it, which is cancelled then */
        ck_assert_int_eq(spile_call_attach(CALL("sleep 60"), host.loop, on_done, &host), 0);
    ck_assert_int_eq(spile_call_attach(CALL("true"), host.loop, free_all, &host), 0);
    while (spile_loop_step(host.loop, UINT64_MAX) > 0)
        ;
    ck_assert_int_eq(host.ended, 1 + _i);
    check_nothing_left(fds);
}
END_TEST

static void *wake(void *user) {
    loop_wake(user);
    return NULL;
}

static void count_wake(struct loop_user *user) {
    struct ring *ring = CONTAINER_OF(user, struct ring, user);
    text_puts(&ring->order, "w");
}

START_TEST(woken_by_a_thread) {
    struct ring ring;
    pthread_t thread;
    ring_open(&ring);
    ring.user.woken = count_wake;
    ck_assert_int_eq(pthread_create(&thread, NULL, wake, ring.loop), 0);
    while (ring.order.size == 0)
        ck_assert_int_eq(spile_loop_step(ring.loop, UINT64_MAX), 1);
    pthread_join(thread, NULL);
    ring_close(&ring);
    ck_assert_ptr_null(spile_loop_free(NULL));
}
END_TEST

int main(int argc, char **argv) {
    Suite *suite = suite_create("loop");
    TCase *tests = tcase_create("loop");
    support_begin(argc, argv);
    tcase_set_timeout(tests, 20);
    tcase_add_test(tests, timers_in_order);
    tcase_add_loop_test(tests, outer_loops_see_timers, 0, 2);
    tcase_add_test(tests, removed_while_dispatched);
    tcase_add_test(tests, foreign_loop);
    tcase_add_test(tests, freed_with_calls_on_it);
    tcase_add_loop_test(tests, freed_from_a_callback, 0, 2);
    tcase_add_test(tests, woken_by_a_thread);
    suite_add_tcase(suite, tests);
    return support_run(suite);
}
