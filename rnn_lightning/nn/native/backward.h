/* The backward pass of a group of rows, from the last step to the first. */
#ifndef BACKWARD_H
#define BACKWARD_H

#include "cells.h"
#include "group.h"
#include "panels.h"

enum { GATHERED = 96 }; /* steps, over all rows, whose gate gradients are gathered for one product */

typedef struct {
    const real *hidden_panels, *input_panels; /* w_hh, w_ih as factors of the gates' gradients */
    real *dh, *dc;                            /* gradients with respect to the state that a step receives */
    real *da;                                 /* gradients with respect to the gates' sums, row by row */
    real *dx;                                 /* a row's gradient with respect to x, padded to whole panels */
    real *z;                                  /* gathered: augmented states [h, 1, x], one after the other */
    real *dz;                                 /* gathered: the gates' gradients, panel by panel */
    size_t gathered, room;                    /* how many are gathered now, and how many there is room for */
    real *dw;                                 /* this thread's gradients of the weights: (depth, width) for each gate */
} backward_space;

static inline size_t gathered_room(size_t rows) { return rows > GATHERED ? rows : GATHERED; }

static inline size_t weights_size(const layer *l) { return (size_t)gates_of(l) * depth_of(l) * width_of(l); }

static inline size_t backward_size(const layer *l, size_t rows)
{
    const size_t width = width_of(l), room = gathered_room(rows);
    return rows * (2 * width + gates_of(l) * width + round_up(l->inputs, LANES)) +
           room * (round_up(depth_of(l), LANES) + gates_of(l) * width) + weights_size(l);
}

static void backward_carve(const layer *l, size_t rows, real *memory, backward_space *w)
{
    const size_t width = width_of(l);
    w->room = gathered_room(rows);
    w->gathered = 0;
    w->dh = memory;
    w->dc = w->dh + rows * width;
    w->da = w->dc + rows * width;
    w->dx = w->da + rows * gates_of(l) * width;
    w->z = w->dx + rows * round_up(l->inputs, LANES);
    w->dz = w->z + w->room * round_up(depth_of(l), LANES);
    w->dw = w->dz + w->room * gates_of(l) * width;
}

/* dw += z^T dz over all gathered steps, gate by gate, for input weights, recurrent weights and biases at once. */
static void add_to_weights(const layer *l, backward_space *w)
{
    const size_t width = width_of(l), z_row = round_up(depth_of(l), LANES);
    for (int k = 0; k < gates_of(l); k++) {
        const gate one = GATES[l->cell][k];
        const size_t first = gate_begin(l, one), depth = gate_end(l, one) - first;
        for (size_t begin = 0; begin < width; begin += PAIR) {
            const real *panel = w->dz + (k * width + begin) * w->room;
            real *to = w->dw + (k * depth_of(l) + first) * width + begin;
            add_transposed(depth, vectors_in(width, begin), w->z + first, z_row, w->gathered, panel, to, width);
        }
    }
    w->gathered = 0;
}

/* Writes the state that step s received in the forward pass to `h`. Returns the LSTM's memory before that step, or null
 * if it is zero or if the cell is not an LSTM. Only `readable` numbers of the memory may be read, as c_0 has no
 * padding. */
static const real *state_before(const layer *l, size_t row, size_t s, real *h, size_t *readable)
{
    const size_t width = width_of(l), hidden = l->hidden;
    memset(h, 0, width * sizeof(real));
    *readable = 0;
    if (is_reset(l, row, s))
        return NULL;
    if (s == 0) {
        initial_state(l, l->h_0, row, h);
        *readable = hidden;
        return l->c_0 ? l->c_0 + row * hidden : NULL;
    }
    const size_t t = time_of(l, row, s - 1);
    const real *tape = tape_at(l, row, t);
    for (size_t at = 0; at < width; at += LANES) {
        vec before = load(tape + at);
        if (l->mask)
            before *= load_mask(mask_at(l, row, t) + at, hidden - at) * all((real)l->mask_scale);
        store(h + at, before);
    }
    *readable = width;
    return l->cell == LSTM ? tape + width : NULL;
}

/* Runs backward through the cell of one row. The gates' gradients are written to `da`; dh keeps the part of the
 * gradient that does not pass through the gates. */
__attribute__((always_inline)) static inline void backward_columns(const enum cell cell, const layer *l, size_t row,
                                                                   size_t s, const real *h, const real *c,
                                                                   size_t readable, real *dh, real *dc, real *da)
{
    const size_t width = width_of(l), hidden = l->hidden, t = time_of(l, row, s);
    const real *tape = tape_at(l, row, t);
    const real *dy = l->grad_y ? l->grad_y + t * l->grad_y_step + row * l->grad_y_row : NULL;
    const uint16_t *mask = l->mask ? mask_at(l, row, t) : NULL;
    const vec scale = all((real)l->mask_scale);
    for (size_t at = 0; at < width; at += LANES) {
        vec d = load(dh + at);
        if (mask)
            d *= load_mask(mask + at, hidden - at) * scale;
        if (dy)
            d += load_part(dy + at, hidden - at);
        vec direct = all(0);
        if (cell == LSTM)
            lstm_backward(d, c ? load_part(c + at, readable - at) : all(0), tape + at, width, dc + at, da + at);
        else if (cell == GRU)
            direct = gru_backward(d, load(h + at), tape + at, width, da + at);
        else
            rnn_backward(cell == RNN_RELU, d, tape + at, da + at);
        store(dh + at, direct);
    }
}

static void backward_cell(const layer *l, size_t row, size_t s, const real *h, const real *c, size_t readable,
                          real *dh, real *dc, real *da)
{
    switch (l->cell) {
    case RNN_TANH:
        backward_columns(RNN_TANH, l, row, s, h, c, readable, dh, dc, da);
        break;
    case RNN_RELU:
        backward_columns(RNN_RELU, l, row, s, h, c, readable, dh, dc, da);
        break;
    case LSTM:
        backward_columns(LSTM, l, row, s, h, c, readable, dh, dc, da);
        break;
    case GRU:
        backward_columns(GRU, l, row, s, h, c, readable, dh, dc, da);
    }
}

/* Copies the gradients of a row's gates into the gathered panels. */
static void gather(const layer *l, const real *da, backward_space *w, size_t place)
{
    const size_t width = width_of(l);
    for (int k = 0; k < gates_of(l); k++)
        for (size_t begin = 0; begin < width; begin += PAIR) {
            const size_t columns = vectors_in(width, begin) * LANES;
            real *to = w->dz + (k * width + begin) * w->room + place * columns;
            for (size_t at = 0; at < columns; at += LANES)
                store(to + at, load(da + k * width + begin + at));
        }
}

/* Runs backward through the products: dh += da W_hh, dx = da W_ih. */
static void backward_products(const layer *l, const group *g, size_t alive, size_t s, backward_space *w)
{
    const size_t width = width_of(l), da_row = gates_of(l) * width;
    const size_t depth = hidden_gates_of(l) * width;
    for (size_t begin = 0; begin < width; begin += PAIR)
        add_product(alive, vectors_in(width, begin), w->da, da_row, depth, w->hidden_panels + begin * depth,
                    w->dh + begin, width);
    if (!l->grad_x)
        return;
    const size_t inputs = round_up(l->inputs, LANES);
    const real *da = w->da + first_input_gate(l) * width;
    for (size_t begin = 0; begin < inputs; begin += PAIR)
        set_product(alive, vectors_in(inputs, begin), da, da_row, depth, w->input_panels + begin * depth,
                    w->dx + begin, inputs);
    for (size_t i = 0; i < alive; i++) {
        const size_t row = (size_t)g->rows[i], t = time_of(l, row, s);
        copy(l->grad_x + (t * l->batch + row) * l->inputs, w->dx + i * inputs, l->inputs);
    }
}

static void backward_step(const layer *l, const group *g, size_t alive, size_t s, backward_space *w)
{
    const size_t width = width_of(l), z_row = round_up(depth_of(l), LANES), da_row = gates_of(l) * width;
    if (w->gathered + alive > w->room)
        add_to_weights(l, w);
    for (size_t i = 0; i < alive; i++) {
        const size_t row = (size_t)g->rows[i];
        real *z = w->z + (w->gathered + i) * z_row, *da = w->da + i * da_row;
        size_t readable;
        const real *c = state_before(l, row, s, z, &readable);
        z[width] = 1;
        copy(z + width + 1, x_at(l, row, time_of(l, row, s)), l->inputs);
        backward_cell(l, row, s, z, c, readable, w->dh + i * width, w->dc + i * width, da);
        for (int k = 0; k < gates_of(l); k++)
            clear_behind(da + k * width, l->hidden, width);
        gather(l, da, w, w->gathered + i);
    }
    w->gathered += alive;
    backward_products(l, g, alive, s, w);
    for (size_t i = 0; i < alive; i++)
        if (is_reset(l, (size_t)g->rows[i], s)) {
            memset(w->dh + i * width, 0, width * sizeof(real));
            memset(w->dc + i * width, 0, width * sizeof(real));
        }
}

static void backward_group(const layer *l, const group *g, backward_space *w)
{
    const size_t width = width_of(l), bytes = l->hidden * sizeof(real);
    memset(w->dh, 0, g->count * width * sizeof(real));
    memset(w->dc, 0, g->count * width * sizeof(real));
    for (size_t i = 0; i < g->count; i++) {
        const size_t row = (size_t)g->rows[i];
        initial_state(l, l->grad_h_n, row, w->dh + i * width);
        initial_state(l, l->grad_c_n, row, w->dc + i * width);
        if (l->grad_x)
            for (size_t t = steps_of(l, row); t < (size_t)l->steps; t++)
                memset(l->grad_x + (t * l->batch + row) * l->inputs, 0, l->inputs * sizeof(real));
    }
    for (size_t s = steps_of(l, (size_t)g->rows[0]); s-- > 0;)
        backward_step(l, g, alive_at(l, g, s), s, w);
    if (w->gathered)
        add_to_weights(l, w);
    for (size_t i = 0; i < g->count; i++) {
        memcpy(l->grad_h_0 + (size_t)g->rows[i] * l->hidden, w->dh + i * width, bytes);
        if (l->grad_c_0)
            memcpy(l->grad_c_0 + (size_t)g->rows[i] * l->hidden, w->dc + i * width, bytes);
    }
}

#endif
