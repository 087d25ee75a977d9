/* Threads for devices without poll: see mover.h.
 *
 *   IDLE     the buffer is the talk's
 *   WANTED   the thread's: it reads into it or writes it
 *   DONE     the talk's again, with what came of it
 *
 * A thread that waits in its read or write is cancelled there, and nowhere else: of signals, which would be the other
 * way, the library has none of its own. Should the device not let itself be interrupted, thread and memory are left to
 * themselves, and the thread frees both once it returns.
 */
#include "talk/mover.h"

#include <stdatomic.h>

enum { FIRST_SIZE = 64 << 10, AGAIN_MS = 5, END_S = 1 };
enum mover_state { MOVER_IDLE, MOVER_WANTED, MOVER_DONE };

struct mover {
    atomic_int holders;
    int fd;
    bool writes;
    mover_fn moved;
    void *user;
    struct loop_fd source;
    int done_fd; /* an eventfd */
    pthread_t thread;
    pthread_mutex_t mutex; /* over what follows */
    pthread_cond_t changed;
    enum mover_state state;
    bool is_leaving;
    char *data;
    size_t size, capacity; /* what is to be moved; of a read: how much there may be */
    ssize_t result;
    size_t taken; /* of what was read */
};

static void free_all(struct mover *mover) {
    fd_close(mover->done_fd);
    free(mover->data);
    free(mover);
}

static void leave(void *argument) {
    struct mover *mover = argument;
    if (atomic_fetch_sub(&mover->holders, 1) > 1)
        return;
    pthread_cond_destroy(&mover->changed);
    pthread_mutex_destroy(&mover->mutex);
    free_all(mover);
}

/* ------------------------------------------------------------------------------ the thread */

static bool await_work(struct mover *mover) {
    pthread_mutex_lock(&mover->mutex);
    while (mover->state != MOVER_WANTED && !mover->is_leaving)
        pthread_cond_wait(&mover->changed, &mover->mutex);
    bool is_leaving = mover->is_leaving;
    pthread_mutex_unlock(&mover->mutex);
    return !is_leaving;
}

static ssize_t move(const struct mover *mover) {
    int old;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
    ssize_t result = mover->writes ? sys_write(mover->fd, mover->data, mover->size)
                                   : sys_read(mover->fd, mover->data, mover->size);
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
    return result;
}

/* Never fails: the counter does not overflow, for nobody tells so often without being heard. */
static void tell(const struct mover *mover) {
    (void)eventfd_write(mover->done_fd, 1);
}

static void *run(void *argument) {
    struct mover *mover = argument;
    int old;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
    pthread_cleanup_push(leave, mover);
    while (await_work(mover)) {
        ssize_t result = move(mover);
        if (result == -EINTR)
            continue;
        if (result == -EAGAIN) { /* of a device that can't be waited for */
            (void)sys_poll(NULL, 0, AGAIN_MS);
            continue;
        }
        pthread_mutex_lock(&mover->mutex);
        mover->result = result;
        mover->taken = 0;
        mover->state = MOVER_DONE;
        pthread_mutex_unlock(&mover->mutex);
        tell(mover);
    }
    pthread_cleanup_pop(1);
    return NULL;
}

/* ------------------------------------------------------------------------------ its life */

static void done(struct loop_fd *source, uint32_t events) {
    struct mover *mover = CONTAINER_OF(source, struct mover, source);
    uint64_t count;
    (void)events;
    (void)sys_read(mover->done_fd, &count, sizeof(count));
    mover->moved(mover->user);
}

static int start_thread(struct mover *mover) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    mover->holders = 2;
    int result = sys_thread_create(&mover->thread, run, mover);
    if (result < 0)
        mover->holders = 1;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return result;
}

int mover_start(struct mover **ret_mover, spile_loop *loop, int fd, bool writes, mover_fn moved, void *user) {
    struct mover *mover = memory_zero(1, sizeof(*mover));
    if (!mover)
        return -ENOMEM;
    *mover = (struct mover){
        .holders = 1, .fd = fd, .writes = writes, .moved = moved, .user = user, .size = FIRST_SIZE, .done_fd = -1};
    pthread_mutex_init(&mover->mutex, NULL);
    pthread_cond_init(&mover->changed, NULL);
    mover->capacity = FIRST_SIZE;
    mover->data = memory_new(mover->capacity);
    int result = mover->data ? mover->done_fd = sys_eventfd() : -ENOMEM;
    if (result >= 0)
        result = loop_fd_add(loop, &mover->source, mover->done_fd, EPOLLIN, done);
    if (result >= 0)
        result = start_thread(mover);
    if (result < 0) {
        loop_fd_remove(&mover->source);
        leave(mover);
        return result;
    }
    *ret_mover = mover;
    return 0;
}

struct mover *mover_stop(struct mover *mover) {
    struct timespec until;
    if (!mover)
        return NULL;
    loop_fd_remove(&mover->source);
    pthread_mutex_lock(&mover->mutex);
    mover->is_leaving = true;
    pthread_cond_signal(&mover->changed);
    pthread_mutex_unlock(&mover->mutex);
    (void)pthread_cancel(mover->thread);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += END_S;
    if (pthread_timedjoin_np(mover->thread, NULL, &until) != 0)
        pthread_detach(mover->thread);
    leave(mover);
    return NULL;
}

void mover_abandon(struct mover *mover) {
    if (mover)
        mover->done_fd = fd_close(mover->done_fd);
}

struct mover *mover_free_abandoned(struct mover *mover) {
    if (mover)
        free_all(mover);
    return NULL;
}

/* ------------------------------------------------------------------------------ moving */

static void hand_over(struct mover *mover, size_t size) {
    mover->size = size;
    mover->state = MOVER_WANTED;
    pthread_cond_signal(&mover->changed);
}

void mover_want(struct mover *mover) {
    pthread_mutex_lock(&mover->mutex);
    const enum mover_state state = mover->state;
    if (state == MOVER_IDLE)
        hand_over(mover, mover->capacity);
    pthread_mutex_unlock(&mover->mutex);
    if (state == MOVER_DONE)
        tell(mover);
}

/* 1: it is the talk's, with what came of the last one in *ret_result; 0: with nothing; -EAGAIN: it is the thread's. */
static int look(struct mover *mover, ssize_t *ret_result) {
    pthread_mutex_lock(&mover->mutex);
    const enum mover_state state = mover->state;
    *ret_result = mover->result;
    pthread_mutex_unlock(&mover->mutex);
    return state == MOVER_WANTED ? -EAGAIN : state == MOVER_DONE;
}

static void take_back(struct mover *mover) {
    pthread_mutex_lock(&mover->mutex);
    mover->state = MOVER_IDLE;
    pthread_mutex_unlock(&mover->mutex);
}

ssize_t mover_read(struct mover *mover, void *data, size_t size, bool *ret_more) {
    ssize_t result;
    *ret_more = false;
    if (look(mover, &result) <= 0)
        return -EAGAIN;
    if (result > 0) {
        const size_t count = MIN((size_t)result - mover->taken, size);
        memcpy(data, mover->data + mover->taken, count);
        mover->taken += count;
        *ret_more = mover->taken < (size_t)result;
        result = (ssize_t)count;
    }
    if (!*ret_more)
        take_back(mover);
    return result;
}

ssize_t mover_write(struct mover *mover, const void *data, size_t size) {
    ssize_t result;
    int state = look(mover, &result);
    if (state < 0)
        return state;
    if (state > 0) {
        take_back(mover);
        return result;
    }
    if (size > mover->capacity) {
        char *grown = memory_grow(mover->data, size);
        if (!grown)
            return -ENOMEM;
        mover->data = grown;
        mover->capacity = size;
    }
    memcpy(mover->data, data, size);
    pthread_mutex_lock(&mover->mutex);
    hand_over(mover, size);
    pthread_mutex_unlock(&mover->mutex);
    return -EAGAIN;
}
