/* A group of rows that run through time together, and their buffers.
 *
 * Rows do not depend on each other. A thread runs all steps of some rows, then all steps of the next ones, and never
 * waits for another thread. A group has as many rows as fit into the L1 cache together with their state. If the weights
 * are too large for the L2 cache, a group has several blocks of rows, so that each panel is read once for all of them.
 */
#ifndef GROUP_H
#define GROUP_H

#include <string.h>

#include "layer.h"

enum { CACHE = 384 * 1024, CALM_BLOCKS = 1, BUSY_BLOCKS = 4 }; /* bytes; blocks of BLOCK rows */

typedef struct {
    const int64_t *rows; /* numbers in the batch, the longest sequences first */
    size_t count;
} group;

static inline size_t most_rows(const layer *l)
{
    return (weights_bytes(l) > CACHE ? BUSY_BLOCKS : CALM_BLOCKS) * BLOCK;
}

/* The size of the first groups, so that sizes are as equal as possible and the larger groups come first. */
static inline size_t group_size(size_t rows, size_t most)
{
    const size_t groups = (rows + most - 1) / most;
    return (rows + groups - 1) / groups;
}

/* How many rows have a step s; they are the first rows of the group. */
static inline size_t alive_at(const layer *l, const group *g, size_t s)
{
    size_t alive = g->count;
    while (alive && steps_of(l, (size_t)g->rows[alive - 1]) <= s)
        alive--;
    return alive;
}

/* The state before a row's first step: the given one, or zero. */
static inline void initial_state(const layer *l, const real *given, size_t row, real *to)
{
    if (given)
        memcpy(to, given + row * l->hidden, l->hidden * sizeof(real));
}

#endif
