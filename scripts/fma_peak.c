/* Measures the most multiply-adds that a core can do: twelve chains in registers, and nothing else. The file is
 * compiled with the flags of a variant of the native recurrence. In the disassembly, the loop has twelve vfmadd (fmla)
 * instructions and no memory access. */
#include "vectors.h"

float multiply_add(long rounds)
{
    const vec factor = all(0.999999f), term = all(1e-6f);
    vec a = all(1), b = all(2), c = all(3), d = all(4), e = all(5), f = all(6);
    vec g = all(7), h = all(8), i = all(9), j = all(10), k = all(11), l = all(12);
    for (long n = 0; n < rounds; n++) {
        a = a * factor + term, b = b * factor + term, c = c * factor + term, d = d * factor + term;
        e = e * factor + term, f = f * factor + term, g = g * factor + term, h = h * factor + term;
        i = i * factor + term, j = j * factor + term, k = k * factor + term, l = l * factor + term;
    }
    const vec sum = a + b + c + d + e + f + g + h + i + j + k + l;
    return (float)sum[0];
}

/* The number of floating-point operations in a round. */
int operations(void) { return 12 * LANES * 2; }
