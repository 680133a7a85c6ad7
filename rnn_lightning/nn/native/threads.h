/* Runs a function once for each of some threads, and waits for all.
 *
 * Threads are made for each call, in some 20 us, and are gone after it: nothing is left that a fork could break or
 * that another library's pool could compete with. A thread that can't be made has its share done by the caller.
 */
#ifndef THREADS_H
#define THREADS_H

#include <pthread.h>

enum { MOST_THREADS = 256 };

typedef struct {
    void (*run)(void *shared, int number);
    void *shared;
    int number;
} task;

static void *run_task(void *given)
{
    const task *t = given;
    t->run(t->shared, t->number);
    return NULL;
}

static void in_parallel(int threads, void (*run)(void *, int), void *shared)
{
    pthread_t made[MOST_THREADS];
    task tasks[MOST_THREADS];
    int is_made[MOST_THREADS] = {0};
    for (int n = 1; n < threads; n++) {
        tasks[n] = (task){run, shared, n};
        is_made[n] = pthread_create(&made[n], NULL, run_task, &tasks[n]) == 0;
    }
    run(shared, 0);
    for (int n = 1; n < threads; n++) {
        if (is_made[n])
            pthread_join(made[n], NULL);
        else
            run(shared, n);
    }
}

#endif
