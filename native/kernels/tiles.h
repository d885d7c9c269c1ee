// Rows of a product in as few tiles as hold them, each of a size that the compiler knows.
#pragma once

#include <cstdint>
#include <type_traits>

namespace centime {
namespace {

constexpr int SMALL_TILE = 4;  // rows whose sums with 16 outputs, and those outputs' numbers, stay in 16 registers

template <int NUMBER>
using Number = std::integral_constant<int, NUMBER>;

// Calls tile(Number<count>(), first row) for a count of at most MOST.
template <int MOST, typename Tile>
inline void tile_of(int count, int first, Tile &&tile) {
  if constexpr (MOST > 1) {
    if (count < MOST) return tile_of<MOST - 1>(count, first, tile);
  }
  tile(Number<MOST>(), first);
}

// Calls tile(Number<rows>(), first row) for `count` rows in tiles of at most MOST, none more than one larger than
// another.
template <int MOST, typename Tile>
inline void by_tiles(int count, Tile &&tile) {
  for (int tiles = (count + MOST - 1) / MOST, at = 0; tiles; --tiles) {
    const int some = (count - at + tiles - 1) / tiles;
    tile_of<MOST>(some, at, tile);
    at += some;
  }
}

// Where a row stands, of rows `stride` bytes apart.
inline const void *row_at(const void *x, int row, int64_t stride) {
  return static_cast<const char *>(x) + row * stride;
}

}  // namespace
}  // namespace centime
