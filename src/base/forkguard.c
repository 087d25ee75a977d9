/* The registry for forks: see forkguard.h. */
#include "base/forkguard.h"

static pthread_mutex_t guard_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct forkguard_node guard_ring = {.previous = &guard_ring, .next = &guard_ring};
static pthread_once_t guard_once = PTHREAD_ONCE_INIT;

static void after_in_child(void) {
    /* The thread that forked holds the lock and is the only one left; a mutex made anew forgets those who waited. */
    forkguard_unlock(); /* or ThreadSanitizer takes it for locked ever after */
    pthread_mutex_init(&guard_mutex, NULL);
    for (struct forkguard_node *node = guard_ring.next, *next; node != &guard_ring; node = next) {
        next = node->next;
        node->child(node);
    }
}

static void install(void) {
    pthread_atfork(forkguard_lock, forkguard_unlock, after_in_child);
}

void forkguard_lock(void) {
    pthread_mutex_lock(&guard_mutex);
}

void forkguard_unlock(void) {
    pthread_mutex_unlock(&guard_mutex);
}

void forkguard_add(struct forkguard_node *node, void (*child)(struct forkguard_node *node)) {
    pthread_once(&guard_once, install);
    FORKGUARD_HOLD();
    node->child = child;
    node->previous = guard_ring.previous;
    node->next = &guard_ring;
    guard_ring.previous->next = node;
    guard_ring.previous = node;
}

void forkguard_remove(struct forkguard_node *node) {
    FORKGUARD_HOLD();
    if (!node->next)
        return;
    node->previous->next = node->next;
    node->next->previous = node->previous;
    node->previous = node->next = NULL;
}
