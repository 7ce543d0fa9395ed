#define _GNU_SOURCE
#include "memory.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE ((size_t) 2 << 20)

static size_t rounded(size_t size) { return (size + HUGE - 1) / HUGE * HUGE; }

void *memory_take(size_t size)
{
    size = rounded(size);
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
    if (memory != MAP_FAILED)
        return memory;
    /* One hugepage more than asked for, and the ends given back: only an aligned hugepage is one. */
    char *wide = mmap(NULL, size + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (wide == MAP_FAILED)
        return NULL;
    char *start = (char *) rounded((uintptr_t) wide);
    if (start > wide)
        munmap(wide, (size_t) (start - wide));
    if (start + size < wide + size + HUGE)
        munmap(start + size, (size_t) (wide + HUGE - start));
    madvise(start, size, MADV_HUGEPAGE);
    memset(start, 0, size);
    return start;
}

void memory_give(void *memory, size_t size) { munmap(memory, rounded(size)); }
