/* The text of a level, such as ["61820.99000000","0.00000000"], as a vector.

   A venue spells all levels of an instrument alike: as many digits, the point at the same place. So the layout of the
   level before is a guess at this one's. Two compares of 32 bytes tell if it is right, and then the place of every
   digit is known: one shuffle each puts those of price and quantity in order, and seven multiply-adds make two
   integers of them. Nothing in it depends on where the level ends, so the CPU works at several levels at once.

   Needs SSSE3; without it nothing ever fits, and the scanner reads byte by byte. */
#ifndef WIREBOOK_LEVELS_H
#define WIREBOOK_LEVELS_H

#include "cursor.h"
#ifdef __SSSE3__
#include <immintrin.h>
#endif

enum { WB_DIGITS = 16 }; /* most of a number that fits */

typedef struct {
    unsigned char low[WB_WINDOW];  /* byte i of the text is from low[i] ... */
    unsigned char span[WB_WINDOW]; /* ... to low[i] + span[i] */
    signed char price_order[WB_DIGITS];    /* which byte of the number is its digit, highest first; negative: 0 */
    signed char quantity_order[WB_DIGITS];
    uint64_t quotes, points; /* where the text has them */
    int32_t length;          /* brackets included; 0: nothing learnt */
    int32_t quantity;        /* where its digits begin */
    int32_t price_decimals, quantity_decimals;
} __attribute__((aligned(64))) wb_shape;

#ifdef __SSSE3__

/* Where `character` is in the window: bit i for byte i. */
static inline uint64_t wb_places(const char *at, char character)
{
    uint64_t places = 0;
    for (int i = 0; i < WB_WINDOW; i += 16) {
        const __m128i text = _mm_loadu_si128((const __m128i *) (at + i));
        const __m128i equal = _mm_cmpeq_epi8(text, _mm_set1_epi8(character));
        places |= (uint64_t) (uint32_t) _mm_movemask_epi8(equal) << i;
    }
    return places;
}

/* Whether 32 bytes, from `from` on, are as the shape wants them. */
static inline int wb_fits_half(const wb_shape *shape, const char *at, int from)
{
#ifdef __AVX2__
    const __m256i text = _mm256_loadu_si256((const __m256i *) (at + from));
    const __m256i above = _mm256_sub_epi8(text, _mm256_load_si256((const __m256i *) (shape->low + from)));
    const __m256i most = _mm256_load_si256((const __m256i *) (shape->span + from));
    return _mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_min_epu8(above, most), above)) == -1;
#else
    __m128i equal = _mm_set1_epi8(-1);
    for (int i = from; i < from + 32; i += 16) {
        const __m128i text = _mm_loadu_si128((const __m128i *) (at + i));
        const __m128i above = _mm_sub_epi8(text, _mm_load_si128((const __m128i *) (shape->low + i)));
        const __m128i most = _mm_load_si128((const __m128i *) (shape->span + i));
        equal = _mm_and_si128(equal, _mm_cmpeq_epi8(_mm_min_epu8(above, most), above));
    }
    return _mm_movemask_epi8(equal) == 0xFFFF;
#endif
}

/* Whether the level at `at` has this shape. */
static inline int wb_fits(const wb_shape *shape, const char *at)
{
    return wb_fits_half(shape, at, 0) && (shape->length <= 32 || wb_fits_half(shape, at, 32));
}

/* Four groups of four digits. */
static inline __m128i wb_fours(const char *number, const signed char *order)
{
    const __m128i text = _mm_loadu_si128((const __m128i *) number);
    const __m128i digits = _mm_shuffle_epi8(_mm_sub_epi8(text, _mm_set1_epi8('0')), _mm_load_si128((const __m128i *) order));
    const __m128i twos = _mm_maddubs_epi16(digits, _mm_set1_epi16(1 << 8 | 10));
    return _mm_madd_epi16(twos, _mm_set1_epi32(1 << 16 | 100));
}

/* Price and quantity of a level that fits. */
static inline void wb_numbers(const wb_shape *shape, const char *at, int64_t *price_and_quantity)
{
    const __m128i price = wb_fours(at + 2, shape->price_order);
    const __m128i quantity = wb_fours(at + shape->quantity, shape->quantity_order);
    const __m128i eights = _mm_madd_epi16(_mm_packs_epi32(price, quantity), _mm_set1_epi32(1 << 16 | 10000));
    const __m128i high = _mm_mul_epu32(eights, _mm_set1_epi64x(100000000));
    _mm_storeu_si128((__m128i *) price_and_quantity, _mm_add_epi64(high, _mm_srli_epi64(eights, 32)));
}

#else

static inline uint64_t wb_places(const char *at, char character)
{
    uint64_t places = 0;
    for (int i = 0; i < WB_WINDOW; i++)
        places |= (uint64_t) (at[i] == character) << i;
    return places;
}

static inline int wb_fits(const wb_shape *shape, const char *at)
{
    (void) shape, (void) at;
    return 0;
}

static inline void wb_numbers(const wb_shape *shape, const char *at, int64_t *price_and_quantity)
{
    (void) shape, (void) at, (void) price_and_quantity;
}

#endif

/* How a level is laid out: enough to find its shape. 0 if it doesn't end within the window. */
static inline int wb_layout(const char *at, uint64_t *quotes, uint64_t *points)
{
    const uint64_t ends = wb_places(at, ']');
    if (ends == 0)
        return 0;
    *quotes = wb_places(at, '"') & (ends ^ (ends - 1));
    *points = wb_places(at, '.') & (ends ^ (ends - 1));
    return __builtin_ctzll(ends) + 1;
}

/* Learn where a number that begins at `start` and ends with a quote has its digits; 0 if it has too many. */
static inline int wb_learn_number(wb_shape *shape, const char *at, int start, int decimals, signed char *order)
{
    const char *const number = at + start;
    const int end = (int) (strchr(number, '"') - number);
    const char *const point = memchr(number, '.', (size_t) end);
    const int whole = point ? (int) (point - number) : end;
    const int first = WB_DIGITS - whole - decimals;
    if (first < 0 || start + WB_DIGITS > WB_WINDOW || (end > WB_DIGITS && whole + decimals >= WB_DIGITS))
        return 0;
    for (int i = 0; i < WB_DIGITS; i++) {
        const int digit = i - first, place = digit < whole ? digit : digit + 1;
        order[i] = (signed char) (digit < 0 || place >= end ? -1 : place);
    }
    /* What lies beyond the instrument's decimals must be zeros: nothing is rounded. */
    for (int i = whole + 1 + decimals; i < end; i++)
        shape->span[start + i] = 0;
    return 1;
}

/* Learn the shape of a level that was found right byte by byte, `length` bytes long; 0 if it can't be one. */
static inline int wb_learn(wb_shape *shape, const char *at, int length, int price_decimals, int quantity_decimals)
{
    shape->length = 0;
    if (wb_layout(at, &shape->quotes, &shape->points) != length)
        return 0;
    for (int i = 0; i < WB_WINDOW; i++) {
        const int digit = at[i] >= '0' && at[i] <= '9';
        shape->low[i] = (unsigned char) (i >= length ? 0 : digit ? '0' : at[i]);
        shape->span[i] = (unsigned char) (i >= length ? 255 : digit ? 9 : 0);
    }
    shape->quantity = (int) (strchr(at + 2, '"') - at) + 3;
    if (!wb_learn_number(shape, at, 2, price_decimals, shape->price_order)
        || !wb_learn_number(shape, at, shape->quantity, quantity_decimals, shape->quantity_order)) {
        /* Half learnt it would be found again by its quotes and points, and give the numbers of another shape. */
        shape->quotes = shape->low[0] = shape->span[0] = 0;
        return 0;
    }
    shape->price_decimals = price_decimals;
    shape->quantity_decimals = quantity_decimals;
    shape->length = length;
    return 1;
}

#endif
