// The products of tiles that each set has of its own: avx2_tiles.cpp, avx512_tiles.cpp and neon_tiles.cpp are
// each compiled for two sets, in the namespace that the build gives them. Contracts: kernel_set.h.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef ROTOR_KERNEL_SET
namespace rotor::kernels::ROTOR_KERNEL_SET {

void matvec_int8(const uint8_t* tiles, size_t row_tiles, size_t column_tiles, const int8_t* x, int32_t* sums);
void matmul_int8(const uint8_t* tiles, size_t row_tiles, size_t column_tiles, const int8_t* blocks,
                 const int32_t* token_sums, size_t batch, int32_t* sums);

}  // namespace rotor::kernels::ROTOR_KERNEL_SET
#endif
