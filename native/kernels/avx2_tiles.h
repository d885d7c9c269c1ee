// Rows of a product in as few tiles as hold them, each of a size that the compiler knows.
#pragma once

#include <immintrin.h>

#include <type_traits>

namespace centime {
namespace avx2 {
namespace {

constexpr int TILE = 4;  // rows whose sums with 16 outputs, and those outputs' numbers, stay in 16 registers

template <int NUMBER>
using Number = std::integral_constant<int, NUMBER>;

// Calls tile(Number<rows>(), first row) for `count` rows in tiles of at most TILE, none more than one larger than
// another.
template <typename Tile>
inline void by_tiles(int count, Tile &&tile) {
  for (int tiles = (count + TILE - 1) / TILE, at = 0; tiles; --tiles) {
    const int some = (count - at + tiles - 1) / tiles;
    switch (some) {
      case 1: tile(Number<1>(), at); break;
      case 2: tile(Number<2>(), at); break;
      case 3: tile(Number<3>(), at); break;
      default: tile(Number<4>(), at); break;
    }
    at += some;
  }
}

}  // namespace
}  // namespace avx2
}  // namespace centime
