/* The three cells, one vector of hidden units at a time: the papers' equations after the gates' sums are computed.
 *
 * Sources: Elman (1990); Hochreiter & Schmidhuber (1997) with the forget gate of Gers et al. (2000); Cho et al. (2014)
 * in torch.nn's variant, where the reset gate acts after the product.
 *
 * The tape stores `width` numbers for each quantity: h; then c, i, f, g, o for the LSTM, or r, z, n and m (the state's
 * part of n's sum) for the GRU.
 */
#ifndef CELLS_H
#define CELLS_H

#include "activations.h"
#include "layer.h"

static inline vec sum_of(const real *sums, int gate, size_t stride) { return load(sums + gate * stride); }

/* h' = tanh(a) or relu(a) */
static inline vec rnn_forward(int relu, const real *sums, real *tape)
{
    const vec a = load(sums);
    vec h;
    if (relu)
        h = relu_of(a);
    else
        h = tanh_of(a);
    if (tape)
        store(tape, h);
    return h;
}

/* c' = f c + i g; h' = o tanh(c'). The gates' sums are `stride` numbers apart, and the tape's quantities are `width`
 * apart. */
static inline vec lstm_forward(const real *sums, size_t stride, real *c, real *tape, size_t width)
{
    const vec i = sigmoid_of(sum_of(sums, 0, stride)), f = sigmoid_of(sum_of(sums, 1, stride));
    const vec g = tanh_of(sum_of(sums, 2, stride)), o = sigmoid_of(sum_of(sums, 3, stride));
    const vec c_new = f * load(c) + i * g;
    const vec h = o * tanh_of(c_new);
    store(c, c_new);
    if (tape) {
        store(tape, h);
        store(tape + width, c_new);
        store(tape + 2 * width, i);
        store(tape + 3 * width, f);
        store(tape + 4 * width, g);
        store(tape + 5 * width, o);
    }
    return h;
}

/* n = tanh(x's share + r m); h' = (1 - z) n + z h */
static inline vec gru_forward(const real *sums, size_t stride, vec h, real *tape, size_t width)
{
    const vec m = sum_of(sums, 0, stride);
    const vec r = sigmoid_of(sum_of(sums, 1, stride)), z = sigmoid_of(sum_of(sums, 2, stride));
    const vec n = tanh_of(sum_of(sums, 3, stride) + r * m);
    const vec h_new = (all(1) - z) * n + z * h;
    if (tape) {
        store(tape, h_new);
        store(tape + width, r);
        store(tape + 2 * width, z);
        store(tape + 3 * width, n);
        store(tape + 4 * width, m);
    }
    return h_new;
}

/* The backward pass: d is the gradient with respect to h'; `da` receives the gradients with respect to the gates' sums,
 * `width` apart. */

static inline void rnn_backward(int relu, vec d, const real *tape, real *da)
{
    const vec h = load(tape);
    if (relu)
        store(da, choose(h <= all(0), all(0), d));
    else
        store(da, d * (all(1) - h * h));
}

/* dc: the gradient with respect to c' goes in, and the gradient with respect to c comes out. */
static inline void lstm_backward(vec d, vec c, const real *tape, size_t width, real *dc, real *da)
{
    const vec c_new = load(tape + width), i = load(tape + 2 * width), f = load(tape + 3 * width);
    const vec g = load(tape + 4 * width), o = load(tape + 5 * width);
    const vec tanh_c = tanh_of(c_new);
    const vec e = load(dc) + d * o * (all(1) - tanh_c * tanh_c);
    store(da, e * g * i * (all(1) - i));
    store(da + width, e * c * f * (all(1) - f));
    store(da + 2 * width, e * i * (all(1) - g * g));
    store(da + 3 * width, d * tanh_c * o * (all(1) - o));
    store(dc, e * f);
}

/* Returns the part of the gradient with respect to h that does not pass through the gates. */
static inline vec gru_backward(vec d, vec h, const real *tape, size_t width, real *da)
{
    const vec r = load(tape + width), z = load(tape + 2 * width), n = load(tape + 3 * width);
    const vec m = load(tape + 4 * width);
    const vec dn = d * (all(1) - z) * (all(1) - n * n);
    store(da, dn * r);
    store(da + width, dn * m * r * (all(1) - r));
    store(da + 2 * width, d * (h - n) * z * (all(1) - z));
    store(da + 3 * width, dn);
    return d * z;
}

#endif
