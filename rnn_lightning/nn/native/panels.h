/* Weights packed into panels: all numbers that the micro-kernel reads for some columns are contiguous, in the order in
 * which it reads them.
 *
 * A panel has PAIR columns; the last panel has LANES columns if no more are left. Missing columns are zero.
 *
 *   panels           at[0]             at[1]             at[2]
 *   gates            | gate 0          | gate 1          | ...
 *   panels of one    | units 0..PAIR-1 | PAIR..2 PAIR-1  | ...   the one that starts at unit `begin` is at begin x depth
 *   rows of one      | k = 0           | k = 1           | ...   `depth` rows, one for each number of [h, 1, x]
 *   numbers of one   | PAIR weights of number k, one for each unit
 */
#ifndef PANELS_H
#define PANELS_H

#include "layer.h"
#include "product.h"

static inline int vectors_in(size_t columns, size_t begin) { return columns - begin > LANES ? 2 : 1; }

static inline size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Forward. Column j of a gate's panel contains the weights of unit j for the gate's part of [h, 1, x]. */
static void pack_column(const layer *l, gate g, size_t unit, real *to, size_t stride)
{
    const size_t hidden = l->hidden, inputs = l->inputs, width = width_of(l);
    if (g.hidden >= 0) {
        const real *w = l->w_hh + (g.hidden * hidden + unit) * hidden;
        for (size_t k = 0; k < width; k++, to += stride)
            *to = k < hidden ? w[k] : 0;
    }
    *to = 0;
    if (l->b_hh && g.hidden >= 0)
        *to += l->b_hh[g.hidden * hidden + unit];
    if (l->b_ih && g.input >= 0)
        *to += l->b_ih[g.input * hidden + unit];
    to += stride;
    if (g.input >= 0) {
        const real *w = l->w_ih + (g.input * hidden + unit) * inputs;
        for (size_t k = 0; k < inputs; k++, to += stride)
            *to = w[k];
    }
}

/* The offset of each gate's panels; the last entry is the total size. */
static void place_panels(const layer *l, size_t at[MOST_GATES + 1])
{
    at[0] = 0;
    for (int g = 0; g < MOST_GATES; g++) {
        const gate one = GATES[l->cell][g];
        const size_t depth = g < gates_of(l) ? gate_end(l, one) - gate_begin(l, one) : 0;
        at[g + 1] = at[g] + depth * width_of(l);
    }
}

static void pack_forward(const layer *l, const size_t at[MOST_GATES + 1], real *panels)
{
    const size_t width = width_of(l), hidden = l->hidden;
    for (int g = 0; g < gates_of(l); g++) {
        const gate one = GATES[l->cell][g];
        const size_t depth = gate_end(l, one) - gate_begin(l, one);
        for (size_t begin = 0; begin < width; begin += PAIR) {
            const size_t columns = vectors_in(width, begin) * LANES;
            real *panel = panels + at[g] + begin * depth;
            for (size_t j = 0; j < columns; j++) {
                if (begin + j < hidden)
                    pack_column(l, one, begin + j, panel + j, columns);
                else
                    for (size_t k = 0; k < depth; k++)
                        panel[k * columns + j] = 0;
            }
        }
    }
}

/* Backward. Panels over the gates' gradients: row (gate, unit) contains that unit's weights from `matrix` (gates H,
 * columns), for the gates from `first` on in this code's order; each gate has `width_of` rows. */
static void pack_backward(const layer *l, const real *matrix, size_t columns, int first, int count, int of_input,
                          real *panels)
{
    const size_t width = width_of(l), hidden = l->hidden, padded = round_up(columns, LANES);
    for (size_t begin = 0; begin < padded; begin += PAIR) {
        const size_t wide = vectors_in(padded, begin) * LANES;
        const size_t real_ones = least(wide, columns - begin);
        for (int g = first; g < first + count; g++) {
            const gate one = GATES[l->cell][g];
            const size_t place = (of_input ? one.input : one.hidden) * hidden;
            for (size_t unit = 0; unit < width; unit++, panels += wide) {
                const real *row = matrix + (place + unit) * columns + begin;
                for (size_t j = 0; j < wide; j++)
                    panels[j] = unit < hidden && j < real_ones ? row[j] : 0;
            }
        }
    }
}

#endif
