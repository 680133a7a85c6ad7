/* Runs on torch's own threads if they can be found, else on new ones for each call.
 *
 * torch's threads are those of its OpenMP library. They spin for a while after each operation, so they start at once.
 * Any other threads would have to share the cores with them. The library is the one that torch has loaded; this code is
 * not linked to any. Starting new threads takes some 20 us. New threads are used if torch has no OpenMP, and in a
 * forked process, which has only the thread that forked.
 */
#include "threads.h"

#include <pthread.h>
#include <stddef.h>

static void (*open_team)(void (*)(void *), void *, unsigned, unsigned);
static int (*own_number)(void);
static int (*team_size)(void);

static void without_team(void) { open_team = NULL; }

/* Takes GOMP_parallel, omp_get_thread_num and omp_get_num_threads from the library that torch uses. */
void use_openmp(void *parallel, void *thread_num, void *num_threads)
{
    own_number = (int (*)(void))thread_num;
    team_size = (int (*)(void))num_threads;
    open_team = (void (*)(void (*)(void *), void *, unsigned, unsigned))parallel;
    pthread_atfork(NULL, NULL, without_team);
}

typedef struct {
    void (*run)(void *, int);
    void *work;
    int first, shares; /* shares from `first` on: one for a new thread, all for a team */
} task;

/* A team may be smaller than requested, for instance inside another one. */
static void run_in_team(void *given)
{
    const task *t = given;
    for (int share = own_number(); share < t->shares; share += team_size())
        t->run(t->work, share);
}

static void *run_alone(void *given)
{
    const task *t = given;
    t->run(t->work, t->first);
    return NULL;
}

static void on_new_threads(int shares, void (*run)(void *, int), void *work)
{
    pthread_t threads[MOST_THREADS];
    task tasks[MOST_THREADS];
    int is_made[MOST_THREADS] = {0};
    for (int n = 1; n < shares; n++) {
        tasks[n] = (task){run, work, n, 1};
        is_made[n] = pthread_create(&threads[n], NULL, run_alone, &tasks[n]) == 0;
    }
    run(work, 0);
    for (int n = 1; n < shares; n++) {
        if (is_made[n])
            pthread_join(threads[n], NULL);
        else
            run(work, n);
    }
}

void in_parallel(int shares, void (*run)(void *, int), void *work)
{
    task all = {run, work, 0, shares};
    if (shares == 1)
        run(work, 0);
    else if (open_team)
        open_team(run_in_team, &all, (unsigned)shares, 0);
    else
        on_new_threads(shares, run, work);
}
