/* The arguments of a pass over one layer in one direction, in the order in which library.py packs them.
 *
 * T time steps, B rows of the batch, I inputs, H hidden units, G gates. Every field is eight bytes long. A pointer may
 * be null if its comment says so. Arrays are contiguous in the order of their sizes. Some have strides, counted in
 * numbers; of such arrays, only the last dimension is contiguous.
 *
 * Names: l the layer, g a group of rows or a gate, w a thread's working space or weights; row a row's number in the
 * batch, i its place in the group; s a step's number in the order in which steps run, t its time in the sequence; at a
 * position in a row, or an offset.
 */
#ifndef LAYER_H
#define LAYER_H

#include <stdint.h>

#include "vectors.h"

enum cell { RNN_TANH, RNN_RELU, LSTM, GRU };

typedef struct {
    int64_t cell, steps, batch, inputs, hidden; /* T, B, I, H */
    int64_t reverse;                            /* whether time runs from a row's last step to its first */
    int64_t threads;

    const real *x; /* (T, B, I) */
    int64_t x_step, x_row;
    const real *w_ih, *w_hh, *b_ih, *b_hh; /* (G H, I), (G H, H), (G H); biases may be null */
    const real *h_0, *c_0;                 /* (B, H); null means zero */

    const uint16_t *mask; /* (T or 1, B, H) in bfloat16: of the state that a step hands to the next; may be null */
    int64_t mask_step, mask_row;
    double mask_scale;
    const int64_t *lengths; /* (B): the steps of each row; null means T */
    const uint8_t *reset;   /* (T, B): where a new sequence begins; may be null */
    int64_t reset_step, reset_row;

    real *y;          /* (T, B, H): the forward pass writes it */
    real *h_n, *c_n;  /* (B, H), also written; c_n for the LSTM only */
    real *tape;       /* (T, B, tape_width): saved for the backward pass; null in inference */

    const real *grad_y; /* (T, B, H), may be null; this and the rest are for the backward pass */
    int64_t grad_y_step, grad_y_row;
    const real *grad_h_n, *grad_c_n; /* (B, H); may be null */
    real *grad_x;                    /* (T, B, I); null where it is not needed */
    real *grad_w_ih, *grad_w_hh;     /* shaped like the weights */
    real *grad_b_ih, *grad_b_hh;     /* null without biases */
    real *grad_h_0, *grad_c_0;       /* (B, H) */
} layer;

/* The gates of a cell in this code. Each is a sum over part of the augmented state [h, 1, x]: a gate that reads the
 * state begins at h, and a gate that reads the input ends after x. The GRU's candidate needs both parts separately.
 *
 * In each row of GATES, the gates that read the state come first, `hidden_gates_of` of them; the same number of gates
 * that read the input come last, starting at `first_input_gate`. The backward products treat each of these two groups
 * as one piece. */
typedef struct {
    int hidden; /* which gate of w_hh, or -1 */
    int input;  /* which gate of w_ih, or -1 */
} gate;

enum { MOST_GATES = 4 };

static const gate GATES[][MOST_GATES] = {
    [RNN_TANH] = {{0, 0}},
    [RNN_RELU] = {{0, 0}},
    [LSTM] = {{0, 0}, {1, 1}, {2, 2}, {3, 3}},    /* i, f, g, o */
    [GRU] = {{2, -1}, {0, 0}, {1, 1}, {-1, 2}}, /* the state's part of n, r, z, the input's part of n */
};

static inline int gates_of(const layer *l) { return l->cell <= RNN_RELU ? 1 : 4; }

static inline int hidden_gates_of(const layer *l) { return l->cell <= RNN_RELU ? 1 : l->cell == LSTM ? 4 : 3; }

static inline int first_input_gate(const layer *l) { return gates_of(l) - hidden_gates_of(l); }

/* Size of a hidden vector, padded to whole vectors. The padding is always zero. */
static inline size_t width_of(const layer *l) { return round_up((size_t)l->hidden, LANES); }

/* The augmented state [h, 1, x]: the index of the 1, and the total size. */
static inline size_t depth_of(const layer *l) { return width_of(l) + 1 + (size_t)l->inputs; }

static inline size_t weights_bytes(const layer *l)
{
    return (size_t)hidden_gates_of(l) * width_of(l) * depth_of(l) * sizeof(real);
}

static inline size_t gate_begin(const layer *l, gate g) { return g.hidden >= 0 ? 0 : width_of(l); }

static inline size_t gate_end(const layer *l, gate g) { return g.input >= 0 ? depth_of(l) : width_of(l) + 1; }

/* Vectors on the tape for each step of each row: h, and whatever the backward pass would otherwise have to
 * recompute. */
static inline size_t tape_vectors(int64_t cell) { return cell <= RNN_RELU ? 1 : cell == LSTM ? 6 : 5; }

static inline size_t steps_of(const layer *l, size_t row) { return (size_t)(l->lengths ? l->lengths[row] : l->steps); }

/* The time of a row's step s; steps are numbered in the order in which the recurrence runs. */
static inline size_t time_of(const layer *l, size_t row, size_t s) { return l->reverse ? steps_of(l, row) - 1 - s : s; }

/* Whether the state before step s belongs to another sequence. If time runs backwards, a sequence begins just before
 * the step where the next sequence begins. */
static inline int is_reset(const layer *l, size_t row, size_t s)
{
    if (!l->reset)
        return 0;
    const size_t t = time_of(l, row, s) + (l->reverse ? 1 : 0);
    return t < steps_of(l, row) && l->reset[t * l->reset_step + row * l->reset_row];
}

static inline const real *x_at(const layer *l, size_t row, size_t t) { return l->x + t * l->x_step + row * l->x_row; }

static inline real *tape_at(const layer *l, size_t row, size_t t)
{
    return l->tape + (t * l->batch + row) * tape_vectors(l->cell) * width_of(l);
}

static inline const uint16_t *mask_at(const layer *l, size_t row, size_t t)
{
    return l->mask + t * l->mask_step + row * l->mask_row;
}

#endif
