/* Loaded before the C library: while armed, whoever allocates or frees ends the process with SIGABRT. */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdlib.h>

void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);
void __libc_free(void *);

static volatile int armed;

void arm(int on) { armed = on; }

static void check(void) {
    if (armed) abort();
}

void *malloc(size_t size) { return check(), __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return check(), __libc_calloc(count, size); }
void *realloc(void *old, size_t size) { return check(), __libc_realloc(old, size); }
void *memalign(size_t align, size_t size) { return check(), __libc_memalign(align, size); }
void *aligned_alloc(size_t align, size_t size) { return check(), __libc_memalign(align, size); }
void free(void *old) { check(), __libc_free(old); }
