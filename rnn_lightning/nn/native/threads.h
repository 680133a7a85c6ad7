/* Runs a function once for each share of the work, on several threads, and waits for all of them. */
#ifndef THREADS_H
#define THREADS_H

enum { MOST_THREADS = 256 };

void in_parallel(int shares, void (*run)(void *work, int share), void *work);

#endif
