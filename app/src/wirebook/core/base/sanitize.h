/* Tells AddressSanitizer of memory that it doesn't know the bounds of: blocks of an arena, packets in their places.
 * Without it all of this is nothing.
 */
#ifndef WIREBOOK_SANITIZE_H
#define WIREBOOK_SANITIZE_H

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
enum { WB_RED_ZONE = 64 };
#define wb_forbid(address, size) __asan_poison_memory_region(address, size)
#define wb_allow(address, size) __asan_unpoison_memory_region(address, size)
#else
enum { WB_RED_ZONE = 0 };
#define wb_forbid(address, size) ((void) (address), (void) (size))
#define wb_allow(address, size) ((void) (address), (void) (size))
#endif

#endif
