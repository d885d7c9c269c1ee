// Matrices put in panels, from rows of numbers as files have them.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "centime.h"
#include "matrix.h"
#include "pool.h"

namespace centime {
namespace {

// Rows of `bytes` of numbers each, one behind the other; and where a panel finds its own.
struct Source {
  const char *numbers, *scales;
  int64_t outputs, inputs, block, bytes;
  bool gated;

  // The row of a panel's lane, or -1 where it is there to fill the panel up.
  int64_t row(int64_t panel, int half, int lane) const {
    const int64_t output = gated ? panel * HALF + lane : panel * PANEL + half * HALF + lane;
    return output >= outputs ? -1 : gated && half ? outputs + output : output;
  }

  // A number of a scale's bits from a table of `width` a row.
  template <typename Scale>
  Scale scale(int64_t row, int64_t column, int64_t width) const {
    Scale value;
    std::memcpy(&value, scales + (row * width + column) * sizeof value, sizeof value);
    return value;
  }
};

// Words of all lanes' rows in turn, the last one filled up with `filler`'s bytes, each to its place: 16 lanes' words
// together. Some words of every row at a time, while a cache holds where they go.
template <typename Word, typename Place, typename Change>
void spread(const Source &from, int64_t panel, int half, char filler, Place &&place, Change &&change) {
  constexpr int64_t TOGETHER = 128, SIZE = sizeof(Word);
  const int64_t whole = from.bytes / SIZE, rest = from.bytes % SIZE;
  const auto put = [&](int64_t i, int lane, Word word) {
    word = change(word);
    std::memcpy(place(i) + lane * SIZE, &word, SIZE);
  };
  for (int64_t first = 0; first <= whole; first += TOGETHER)
    for (int lane = 0; lane < HALF; ++lane) {
      const int64_t row = from.row(panel, half, lane), end = std::min(first + TOGETHER, whole);
      if (row < 0) continue;
      const char *at = from.numbers + row * from.bytes;
      Word word;
      for (int64_t i = first; i < end; ++i) {
        std::memcpy(&word, at + i * SIZE, SIZE);
        put(i, lane, word);
      }
      if (end < whole || !rest) continue;
      std::memset(&word, filler, SIZE);
      std::memcpy(&word, at + whole * SIZE, rest);
      put(whole, lane, word);
    }
}

// Eight numbers of 4 bits, in turn from the lowest: the first four in the low halves of bytes, the others in the high.
uint32_t halves_apart(uint32_t word) {
  const auto apart = [](uint32_t x) {
    x = (x | x << 8) & 0x00ff00ffu;
    return (x | x << 4) & 0x0f0f0f0fu;
  };
  return apart(word & 0xffffu) | apart(word >> 16) << 4;
}

void pack_bf16(const Source &from, int64_t panel, char *to) {
  for (int half = 0; half < 2; ++half)
    spread<uint32_t>(
        from, panel, half, 0, [&](int64_t i) { return to + i * 128 + half * 64; }, [](uint32_t word) { return word; });
}

void pack_whole(const Source &from, int64_t panel, int bits, char *to) {
  const int64_t groups = (from.inputs + GROUP - 1) / GROUP, each = group_bytes(bits);
  const int64_t words = bits;  // of a group: 32 * bits / 32
  const char nothing = bits == 8 ? 0 : static_cast<char>(0x88);
  for (int64_t group = 0; group < groups; ++group)  // what fills the last group up
    std::memset(to + group * each, bits == 8 ? 0x80 : 0x88, group + 1 == groups ? each - 2 * PANEL : 0);
  for (int half = 0; half < 2; ++half) {
    const auto place = [&](int64_t i) { return to + i / words * each + half * words * 64 + i % words * 64; };
    if (bits == 8)
      spread<uint32_t>(from, panel, half, nothing, place, [](uint32_t word) { return word ^ 0x80808080u; });
    else
      spread<uint32_t>(from, panel, half, nothing, place, halves_apart);
    for (int lane = 0; lane < HALF; ++lane)
      if (const int64_t row = from.row(panel, half, lane); row >= 0)
        for (int64_t group = 0; group < groups; ++group) {
          const auto scale = from.scale<uint16_t>(row, group, groups);
          std::memcpy(to + (group + 1) * each - 2 * PANEL + (half * HALF + lane) * 2, &scale, 2);
        }
  }
}

void pack_fp8(const Source &from, int64_t panel, char *to) {
  const int64_t groups = (from.inputs + GROUP - 1) / GROUP, columns = (from.inputs + from.block - 1) / from.block;
  const int64_t blocks = (from.outputs + from.block - 1) / from.block;  // of one half of a gated matrix
  char *const numbers = to + fp8_scales_bytes(from.inputs);
  for (int half = 0; half < 2; ++half) {
    spread<uint16_t>(
        from, panel, half, 0,
        [&](int64_t i) { return numbers + i / HALF * FP8_GROUP_BYTES + half * HALF * GROUP + i % HALF * 2 * HALF; },
        [](uint16_t word) { return word; });
    const int64_t row = from.row(panel, half, 0);
    for (int64_t group = 0; row >= 0 && group < groups; ++group) {
      const bool up = row >= from.outputs;
      const int64_t place = up ? blocks + (row - from.outputs) / from.block : row / from.block;
      auto scale = from.scale<float>(place, group * GROUP / from.block, columns);
      const char *at = numbers + group * FP8_GROUP_BYTES + half * HALF * GROUP;
      if (std::any_of(at, at + HALF * GROUP, [](char one) { return (one & 127) == 127; })) scale = NAN;
      std::memcpy(to + group * 8 + half * 4, &scale, sizeof scale);
    }
  }
}

}  // namespace
}  // namespace centime

using namespace centime;

extern "C" void centime_pack(const void *numbers, const void *scales, int64_t block, int64_t count, int32_t gated,
                             const centime_matrix *to) {
  const Matrix matrix(*to);
  const int64_t rows = matrix.outputs * (gated ? 2 : 1), panels = gated ? matrix.gated_count() : matrix.count();
  const int64_t bits = matrix.kind == CENTIME_BF16 ? 16 : matrix.kind == CENTIME_INT4 ? 4 : 8;
  const int64_t row_bytes = (matrix.inputs * bits + 7) / 8, groups = (matrix.inputs + GROUP - 1) / GROUP;
  int64_t scales_bytes = matrix.whole() ? rows * groups * 2 : 0;  // of one matrix
  if (matrix.kind == CENTIME_FP8)
    scales_bytes = (matrix.outputs + block - 1) / block * (gated ? 2 : 1) * ((matrix.inputs + block - 1) / block) * 4;
  shared(count * panels, [&](int64_t number) {
    const int64_t which = number / panels, panel = number % panels;
    const Source from{static_cast<const char *>(numbers) + which * rows * row_bytes,
                      static_cast<const char *>(scales) + which * scales_bytes,
                      matrix.outputs,
                      matrix.inputs,
                      block,
                      row_bytes,
                      gated != 0};
    char *const out = const_cast<char *>(matrix.panel(number));
    const int64_t lanes = gated ? HALF : PANEL;
    const bool filled_up = panel + 1 == panels && matrix.outputs % lanes;
    if (filled_up || matrix.inputs % GROUP) std::memset(out, 0, matrix.bytes());
    if (matrix.kind == CENTIME_FP8) std::memset(out, 0, fp8_scales_bytes(matrix.inputs));
    if (matrix.kind == CENTIME_BF16) return pack_bf16(from, panel, out);
    if (matrix.kind == CENTIME_FP8) return pack_fp8(from, panel, out);
    pack_whole(from, panel, static_cast<int>(bits), out);
  });
}
