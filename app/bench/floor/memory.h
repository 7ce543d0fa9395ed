/* Memory as the engine's arena takes it: explicit hugepages, else transparent ones, zeroed and faulted in. */
#ifndef FLOOR_MEMORY_H
#define FLOOR_MEMORY_H

#include <stddef.h>

void *memory_take(size_t size); /* NULL when there is none */
void memory_give(void *memory, size_t size);

#endif
