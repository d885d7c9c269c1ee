#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "table.h"

namespace centime {
namespace {

constexpr int TILE = 16;  // rows of a tile, and pairs of numbers in each

struct alignas(64) Shapes {  // what LDTILECFG reads: bytes of a row and rows of every tile
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes[16] = {};
  uint8_t rows[16] = {};
};

// Tiles 0 to 3 are sums [rows, 16 outputs] of two groups of rows and both halves of a panel, 4 and 5 pieces of x for
// the groups, 6 and 7 of the halves.
void shape_tiles(int first, int second) {
  Shapes shapes;
  const int rows[8] = {first, first, second, second, first, second, TILE, TILE};
  for (int tile = 0; tile < 8; ++tile) {
    shapes.bytes[tile] = 4 * TILE;
    shapes.rows[tile] = rows[tile];
  }
  _tile_loadconfig(&shapes);
}

// Whole tiles of x and of a panel, 32 inputs at a time (TDPBF16PS).
void tiles(const char *panel, int64_t inputs, const char *x, int64_t stride, int count, float (*out)[PANEL]) {
  const int first = count < TILE ? count : TILE, second = count - first;
  shape_tiles(first, second ? second : first);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t k = 0; k < inputs; k += 2 * TILE, panel += TILE * 128, x += 4 * TILE) {
    for (int line = 0; line < 2 * TILE; ++line) _mm_prefetch(panel + AHEAD + line * 64, _MM_HINT_T0);
    _tile_loadd(6, panel, 128);
    _tile_loadd(7, panel + 64, 128);
    _tile_loadd(4, x, stride);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if (second) {
      _tile_loadd(5, x + TILE * stride, stride);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, out, sizeof *out);
  _tile_stored(1, out[0] + HALF, sizeof *out);
  if (second) {
    _tile_stored(2, out + TILE, sizeof *out);
    _tile_stored(3, out[TILE] + HALF, sizeof *out);
  }
  _tile_release();
}

// Inputs that fill no whole tile go by vectors, for any number of rows alike.
void product_by_tiles(const void *panel, int64_t inputs, const void *rows, int64_t stride, int count,
                      float (*out)[PANEL]) {
  const char *x = static_cast<const char *>(rows);
  if (inputs % (2 * TILE) == 0) return tiles(static_cast<const char *>(panel), inputs, x, stride, count, out);
  const int most = AVX512_BF16.products[CENTIME_BF16].rows;
  for (int row = 0; row < count; row += most)
    AVX512_BF16.products[CENTIME_BF16].of(panel, inputs, x + row * stride, stride,
                                          count - row < most ? count - row : most, out + row);
}

// Whether there are tiles, and Linux lets this process use them (arch_prctl, ARCH_REQ_XCOMP_PERM of tile data).
bool runs() {
  constexpr int ARCH_REQ_XCOMP_PERM = 0x1023, TILE_DATA = 18;
  return AVX512_BF16.runs() && __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16") &&
         syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0;
}

// A product of other numbers as AVX512-BF16's processors have it, which any with tiles is one of.
template <int KIND>
void vectors(const void *panel, int64_t inputs, const void *x, int64_t stride, int count, float (*out)[PANEL]) {
  AVX512_BF16.products[KIND].of(panel, inputs, x, stride, count, out);
}

}  // namespace
}  // namespace centime

const centime::Kernels centime::AMX =
    centime::table("amx", centime::runs,
                   {.bf16 = {centime::product_by_tiles, centime::MOST_ROWS},
                    .int8 = {centime::vectors<CENTIME_INT8>, centime::ROWS},
                    .int4 = {centime::vectors<CENTIME_INT4>, centime::ROWS},
                    .fp8 = {centime::vectors<CENTIME_FP8>, centime::ROWS}});
