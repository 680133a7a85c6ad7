/* The forward pass of a group of rows through all steps. */
#ifndef FORWARD_H
#define FORWARD_H

#include "cells.h"
#include "group.h"
#include "panels.h"

typedef struct {
    const real *panels;
    size_t at[MOST_GATES + 1]; /* where each gate's panels begin */
    real *z, *z_next;          /* augmented states [h, 1, x] before and after a step, one a row */
    real *h;                   /* what the step gives, before the mask */
    real *c;                   /* LSTM's memory */
    real *sums;                /* a panel's sums: gate by gate, row by row, PAIR columns */
    size_t rows;               /* that there is room for */
} forward_space;

static inline size_t forward_size(const layer *l, size_t rows)
{
    return rows * (2 * round_up(depth_of(l), LANES) + 2 * width_of(l) + MOST_GATES * PAIR);
}

static void forward_carve(const layer *l, size_t rows, real *memory, forward_space *w)
{
    const size_t z = rows * round_up(depth_of(l), LANES), h = rows * width_of(l);
    w->rows = rows;
    w->z = memory;
    w->z_next = w->z + z;
    w->h = w->z_next + z;
    w->c = w->h + h;
    w->sums = w->c + h;
}

/* What a group's rows read at step s: x, and zero in place of the state where a new sequence begins. */
static void forward_read(const layer *l, const group *g, size_t alive, size_t s, forward_space *w)
{
    const size_t width = width_of(l), z_row = round_up(depth_of(l), LANES);
    for (size_t i = 0; i < alive; i++) {
        const size_t row = (size_t)g->rows[i];
        memcpy(w->z + i * z_row + width + 1, x_at(l, row, time_of(l, row, s)), l->inputs * sizeof(real));
        if (is_reset(l, row, s)) {
            memset(w->z + i * z_row, 0, width * sizeof(real));
            memset(w->c + i * width, 0, width * sizeof(real));
        }
    }
}

/* The cell, on the columns from `begin` on of each row. */
static void forward_cell(const layer *l, const group *g, size_t alive, size_t s, size_t begin, int vectors,
                         forward_space *w)
{
    const size_t width = width_of(l), z_row = round_up(depth_of(l), LANES), stride = w->rows * PAIR;
    const size_t hidden = l->hidden;
    for (size_t i = 0; i < alive; i++) {
        const size_t row = (size_t)g->rows[i], t = time_of(l, row, s);
        for (size_t at = begin; at < begin + vectors * LANES; at += LANES) {
            const real *sums = w->sums + i * PAIR + (at - begin);
            real *tape = l->tape ? tape_at(l, row, t) + at : NULL;
            vec h;
            if (l->cell <= RNN_RELU)
                h = rnn_forward(l->cell == RNN_RELU, sums, tape);
            else if (l->cell == LSTM)
                h = lstm_forward(sums, stride, w->c + i * width + at, tape, width);
            else
                h = gru_forward(sums, stride, load(w->z + i * z_row + at), tape, width);
            store(w->h + i * width + at, h);
            if (l->mask)
                h *= load_mask(mask_at(l, row, t) + at, hidden - at) * all((real)l->mask_scale);
            store(w->z_next + i * z_row + at, h);
        }
    }
}

static void forward_step(const layer *l, const group *g, size_t alive, size_t s, forward_space *w)
{
    const size_t width = width_of(l), z_row = round_up(depth_of(l), LANES), stride = w->rows * PAIR;
    forward_read(l, g, alive, s, w);
    for (size_t begin = 0; begin < width; begin += PAIR) {
        const int vectors = vectors_in(width, begin);
        for (int k = 0; k < gates_of(l); k++) {
            const gate one = GATES[l->cell][k];
            const size_t first = gate_begin(l, one), depth = gate_end(l, one) - first;
            const factor z = {w->z + first, z_row, 1};
            multiply(alive, vectors, z, depth, w->panels + w->at[k] + begin * depth, w->sums + k * stride, PAIR, 0);
        }
        forward_cell(l, g, alive, s, begin, vectors, w);
    }
    for (size_t i = 0; i < alive; i++) {
        const size_t row = (size_t)g->rows[i], t = time_of(l, row, s);
        memcpy(l->y + (t * l->batch + row) * l->hidden, w->h + i * width, l->hidden * sizeof(real));
    }
    real *swapped = w->z;
    w->z = w->z_next;
    w->z_next = swapped;
}

static void forward_begin(const layer *l, const group *g, forward_space *w)
{
    const size_t width = width_of(l), z_row = round_up(depth_of(l), LANES);
    memset(w->z, 0, w->rows * z_row * sizeof(real));
    memset(w->z_next, 0, w->rows * z_row * sizeof(real));
    memset(w->c, 0, w->rows * width * sizeof(real));
    for (size_t i = 0; i < g->count; i++) {
        initial_state(l, l->h_0, (size_t)g->rows[i], w->z + i * z_row);
        initial_state(l, l->c_0, (size_t)g->rows[i], w->c + i * width);
        w->z[i * z_row + width] = w->z_next[i * z_row + width] = 1;
    }
}

/* Hands out the final state of the rows from `alive` to `until`, which end here, and zeroes their outputs beyond. */
static void forward_end(const layer *l, const group *g, size_t alive, size_t until, const forward_space *w)
{
    const size_t width = width_of(l), z_row = round_up(depth_of(l), LANES), bytes = l->hidden * sizeof(real);
    for (size_t i = alive; i < until; i++) {
        const size_t row = (size_t)g->rows[i];
        memcpy(l->h_n + row * l->hidden, w->z + i * z_row, bytes);
        if (l->c_n)
            memcpy(l->c_n + row * l->hidden, w->c + i * width, bytes);
        for (size_t t = steps_of(l, row); t < (size_t)l->steps; t++)
            memset(l->y + (t * l->batch + row) * l->hidden, 0, bytes);
    }
}

static void forward_group(const layer *l, const group *g, forward_space *w)
{
    forward_begin(l, g, w);
    size_t alive = g->count;
    for (size_t s = 0; alive; s++) {
        const size_t still = alive_at(l, g, s);
        forward_end(l, g, still, alive, w);
        alive = still;
        if (alive)
            forward_step(l, g, alive, s, w);
    }
}

#endif
