/* The forward pass of a group of rows through all steps. */
#ifndef FORWARD_H
#define FORWARD_H

#include "cells.h"
#include "dots.h"
#include "group.h"
#include "panels.h"

typedef struct {
    const real *panels;        /* null if the weights are read without packing */
    size_t at[MOST_GATES + 1]; /* the offset of each gate's panels */
    real *z, *z_next;          /* augmented states [h, 1, x] before and after a step, one per row */
    real *h;                   /* the step's output, before the mask */
    real *c;                   /* the LSTM's memory */
    real *sums;                /* a panel's sums: gate by gate, row by row, PAIR columns */
    size_t rows;               /* how many rows there is room for */
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

/* Prepares what a group's rows read at step s: x, and a zero state where a new sequence begins. */
static void forward_read(const layer *l, const group *g, size_t alive, size_t s, forward_space *w)
{
    const size_t width = width_of(l), z_row = round_up(depth_of(l), LANES);
    for (size_t i = 0; i < alive; i++) {
        const size_t row = (size_t)g->rows[i];
        copy(w->z + i * z_row + width + 1, x_at(l, row, time_of(l, row, s)), l->inputs);
        if (is_reset(l, row, s)) {
            memset(w->z + i * z_row, 0, width * sizeof(real));
            memset(w->c + i * width, 0, width * sizeof(real));
        }
    }
}

/* Runs the cell on each row's columns from `begin` on. */
__attribute__((always_inline)) static inline void forward_columns(const enum cell cell, const layer *l, const group *g,
                                                                  size_t alive, size_t s, size_t begin, int vectors,
                                                                  const forward_space *w)
{
    const size_t width = width_of(l), z_row = round_up(depth_of(l), LANES), stride = w->rows * PAIR;
    const size_t hidden = l->hidden;
    const vec scale = all((real)l->mask_scale);
    for (size_t i = 0; i < alive; i++) {
        const size_t row = (size_t)g->rows[i], t = time_of(l, row, s);
        const real *sums = w->sums + i * PAIR;
        real *h = w->h + i * width + begin, *c = w->c + i * width + begin, *tape = NULL;
        const real *before = w->z + i * z_row + begin;
        real *after = w->z_next + i * z_row + begin;
        const uint16_t *mask = l->mask ? mask_at(l, row, t) + begin : NULL;
        if (l->tape)
            tape = tape_at(l, row, t) + begin;
        for (int at = 0; at < vectors * LANES; at += LANES) {
            real *const taped = tape ? tape + at : NULL;
            vec new;
            if (cell == LSTM)
                new = lstm_forward(sums + at, stride, c + at, taped, width);
            else if (cell == GRU)
                new = gru_forward(sums + at, stride, load(before + at), taped, width);
            else
                new = rnn_forward(cell == RNN_RELU, sums + at, taped);
            store(h + at, new);
            if (mask)
                new *= load_mask(mask + at, hidden - begin - at) * scale;
            store(after + at, new);
        }
    }
}

static void forward_cell(const layer *l, const group *g, size_t alive, size_t s, size_t begin, int vectors,
                         const forward_space *w)
{
    switch (l->cell) {
    case RNN_TANH:
        forward_columns(RNN_TANH, l, g, alive, s, begin, vectors, w);
        break;
    case RNN_RELU:
        forward_columns(RNN_RELU, l, g, alive, s, begin, vectors, w);
        break;
    case LSTM:
        forward_columns(LSTM, l, g, alive, s, begin, vectors, w);
        break;
    case GRU:
        forward_columns(GRU, l, g, alive, s, begin, vectors, w);
    }
}

/* Computes a gate's sums for some columns, from unpacked weights. */
static void forward_dots(const layer *l, gate one, size_t alive, size_t begin, size_t columns, const real *z,
                         size_t z_row, real *sums)
{
    const size_t hidden = l->hidden, inputs = l->inputs, units = least(columns, hidden - begin);
    const size_t of_hidden = one.hidden * hidden + begin, of_input = one.input * hidden + begin;
    const int reads_hidden = one.hidden >= 0, reads_input = one.input >= 0;
    for (size_t j = 0; j < columns; j++) {
        real bias = 0;
        if (reads_hidden && l->b_hh && j < units)
            bias += l->b_hh[of_hidden + j];
        if (reads_input && l->b_ih && j < units)
            bias += l->b_ih[of_input + j];
        for (size_t i = 0; i < alive; i++)
            sums[i * PAIR + j] = bias;
    }
    if (reads_hidden)
        add_dots(alive, units, z, z_row, l->w_hh + of_hidden * hidden, hidden, sums, PAIR);
    if (reads_input)
        add_dots(alive, units, z + width_of(l) + 1, z_row, l->w_ih + of_input * inputs, inputs, sums, PAIR);
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
            real *sums = w->sums + k * stride;
            if (w->panels)
                set_product(alive, vectors, w->z + first, z_row, depth, w->panels + w->at[k] + begin * depth, sums,
                            PAIR);
            else
                forward_dots(l, one, alive, begin, vectors * LANES, w->z, z_row, sums);
        }
        forward_cell(l, g, alive, s, begin, vectors, w);
    }
    for (size_t i = 0; i < alive; i++) {
        const size_t row = (size_t)g->rows[i], t = time_of(l, row, s);
        copy(l->y + (t * l->batch + row) * l->hidden, w->h + i * width, l->hidden);
        clear_behind(w->z_next + i * z_row, l->hidden, width);
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

/* Writes the final state of the rows from `alive` to `until`, which end here, and zeroes their later outputs. */
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
