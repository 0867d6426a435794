// The operands of matrix products on the host, in float32 or rounded to bfloat16.
//
// A product takes its operands as words of four bytes: one float, or two bfloat16 that follow each
// other in the depth of the product (the earlier one in the lower half; a last one has a zero
// beside it). So all that is laid out in words is laid out alike for both, and a struct says the
// rest: Float32 or Bfloat16, below called P. Sums are float32 for both.
#pragma once
#ifndef __CUDACC__

#include <new>
#include <utility>

#include "kernel.h"
#include "team.h"

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

// SUMS: registers that a product sums in; the others are for what it reads.
#if defined(__AVX512F__)
#define LANES 16
#define SUMS 24
#elif defined(__AVX__)
#define LANES 8
#define SUMS 12
#elif defined(__aarch64__)
#define LANES 4
#define SUMS 24
#else
#define LANES 4
#define SUMS 12
#endif
#define WIDTH (4 * LANES)

typedef float Lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef unsigned WordLanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

DEVICE index_t ceil_div(index_t a, index_t b) { return (a + b - 1) / b; }

typedef std::make_integer_sequence<int, LANES> AllLanes;

// Swaps the upper right and the lower left quarter of each square of 2 STEP rows and columns.
template <int STEP, int... I>
DEVICE void exchange(Lanes& a, Lanes& b, std::integer_sequence<int, I...>) {
  Lanes x = a, y = b;
#ifdef __clang__
  a = __builtin_shufflevector(x, y, (I & STEP ? LANES + I - STEP : I)...);
  b = __builtin_shufflevector(x, y, (I & STEP ? LANES + I : I + STEP)...);
#else
  a = __builtin_shuffle(x, y, (WordLanes){(unsigned)(I & STEP ? LANES + I - STEP : I)...});
  b = __builtin_shuffle(x, y, (WordLanes){(unsigned)(I & STEP ? LANES + I : I + STEP)...});
#endif
}

// Of LANES registers: row i becomes column i.
template <int STEP = LANES / 2>
DEVICE void transpose(Lanes* x) {
  for (int i = 0; i < LANES; ++i)
    if (!(i & STEP)) exchange<STEP>(x[i], x[i + STEP], AllLanes());
  if constexpr (STEP > 1) transpose<STEP / 2>(x);
}

struct Float32 {
  typedef float Word;
  typedef Lanes Broadcast;
  static const int NUMBERS = 1;  // in a word
  static const int ROWS = 6;     // of the result that are summed at once
  static const bool COPIES = false;

  static index_t words(index_t numbers) { return numbers; }

  static Lanes load(const Word* x) { return *(const Lanes*)x; }
  static Broadcast broadcast(Word x) { return x - Lanes{}; }
  static Lanes multiply_add(Lanes sum, Lanes x, Broadcast y) { return sum + x * y; }

  // The words of a row, in the direction of the depth.
  static void along(const float* row, index_t count, Word* out) {
    index_t i = 0;
    for (; i + LANES <= count; i += LANES)  // a call would take longer than a few of these
      *(Lanes*)(out + i) = *(const Lanes*)(row + i);
    if (i < count) memcpy(out + i, row + i, (count - i) * sizeof(float));
  }
  // A word of each column of NUMBERS rows: the second is null behind the last row.
  static void across(const float* row, const float*, index_t count, Word* out) {
    along(row, count, out);
  }
};

struct Bfloat16 {
  typedef unsigned Word;
  static const int NUMBERS = 2;
  static const bool COPIES = true;

  static index_t words(index_t numbers) { return ceil_div(numbers, 2); }

  static WordLanes load(const Word* x) { return *(const WordLanes*)x; }

#ifdef __AVX512BF16__
  static const int ROWS = 6;
  typedef WordLanes Broadcast;
  static Broadcast broadcast(Word x) { return x | WordLanes{}; }
  static Lanes multiply_add(Lanes sum, WordLanes x, Broadcast y) {
    return (Lanes)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)y);
  }
#else
  static const int ROWS = SUMS / 4;  // words are taken apart: the fewer times, the better
  struct Broadcast {
    Lanes low, high;
  };
  static Broadcast broadcast(Word x) {
    return {bits_float((int)(x << 16)) - Lanes{}, bits_float((int)(x & 0xffff0000u)) - Lanes{}};
  }
  // The upper half first, as the instruction has it.
  static Lanes multiply_add(Lanes sum, WordLanes x, Broadcast y) {
    sum += (Lanes)(x & 0xffff0000u) * y.high;
    return sum + (Lanes)(x << 16) * y.low;
  }
#endif

  static void along(const float* row, index_t count, Word* out) {
    Half* halves = (Half*)out;
    for (index_t i = 0; i < count; i += LANES) {
      WordLanes rounded = round(row + i, count - i) >> 16;
      store(__builtin_convertvector(rounded, HalfLanes), halves + i, ceil_div(count - i, 2) * 4);
    }
  }
  static void across(const float* row, const float* second, index_t count, Word* out) {
    for (index_t i = 0; i < count; i += LANES) {
      WordLanes pair = round(row + i, count - i) >> 16;
      if (second) pair |= round(second + i, count - i) & 0xffff0000u;
      store(pair, out + i, (count - i) * 4);
    }
  }

 private:
  typedef unsigned short Half __attribute__((may_alias));  // of a word, the lower one first
  typedef unsigned short HalfLanes __attribute__((vector_size(2 * LANES)));

  // The upper halves are the first LANES or `count` numbers in bfloat16, behind them zero: the
  // nearest one, of two the even one; NaN stays NaN.
  static WordLanes round(const float* x, index_t count) {
    Lanes numbers = {};
    if (count >= LANES)
      numbers = *(const Lanes*)x;
    else
      memcpy(&numbers, x, count * sizeof(float));
    WordLanes bits = (WordLanes)numbers, same = (WordLanes)(numbers == numbers);
    WordLanes rounded = bits + 0x7fffu + (bits >> 16 & 1u);
    return (rounded & same) | ((bits | 0x400000u) & ~same);
  }

  // The first `bytes` of a register.
  template <class V>
  static void store(V x, void* out, index_t bytes) {
    if (bytes >= (index_t)sizeof x)
      memcpy(out, &x, sizeof x);  // one instruction
    else
      memcpy(out, &x, bytes);
  }
};

// Numbers or words without a value yet, at an address from which registers load at full speed.
template <class T>
class Space {
 public:
  explicit Space(index_t count)
      : data_((T*)operator new(count * sizeof(T), std::align_val_t(64))) {}
  ~Space() { operator delete(data_, std::align_val_t(64)); }
  Space(const Space&) = delete;
  T* data() const { return data_; }

 private:
  T* data_;
};

// The rows of an array of floats, as words: in place where a word is a float, else converted,
// which is up to whoever writes them.
template <class P>
class WordRows {
 public:
  typedef typename P::Word Word;

  WordRows(const float* rows, index_t count, index_t numbers)
      : rows_(rows),
        numbers_(numbers),
        words_(P::words(numbers)),
        copy_(P::COPIES ? count * words_ : 0) {}

  const Word* row(index_t i) const {
    return (P::COPIES ? copy_.data() : (const Word*)rows_) + i * words_;
  }
  // Once `count` numbers of row i are there, from an even column on.
  void convert(index_t i, index_t column, index_t count) const {
    if (P::COPIES)
      P::along(rows_ + i * numbers_ + column, count,
               copy_.data() + i * words_ + column / P::NUMBERS);
  }
  void convert(Share all) const {
    for (index_t i = all.begin; i < all.end; ++i) convert(i, 0, numbers_);
  }

 private:
  const float* rows_;
  index_t numbers_, words_;
  Space<Word> copy_;
};

#endif
