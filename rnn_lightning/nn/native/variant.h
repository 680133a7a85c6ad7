/* NAMED(forward) is forward_avx512_float, for instance: each variant's functions have names of their own. */
#ifndef VARIANT_H
#define VARIANT_H

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define NAMED(name) JOIN(name, VARIANT)

#endif
