/* From a received packet to a record that other processes read, with sorted-array books. */
#ifndef FLOOR_PATH_H
#define FLOOR_PATH_H

#include "book.h"

struct path;

struct path *path_new(uint32_t symbols, size_t bytes);
void path_free(struct path *path);
struct array_books *path_books(struct path *path);
/* CPU time in nanoseconds for `count` packets, each in a slot of `slot_bytes`; with `laps`, also the time of each `burst`
   of them. */
uint64_t path_packets(struct path *path, const char *slots, const uint64_t *lengths, ptrdiff_t count, ptrdiff_t slot_bytes,
                      ptrdiff_t burst, uint64_t *laps);
uint64_t path_published(struct path *path); /* events */

#endif
