// SPDX-License-Identifier: MIT
// Compiled only: views, half types and status as device code uses them. CMake puts an include of every core header in
// front.
__global__ void row_maximum(weakly::matrix_view<const weakly::half, weakly::device_memory> prob,
                            weakly::vector_view<float, weakly::device_memory> out, weakly::status* status) {
  const weakly::index_t i = blockIdx.x * weakly::index_t(blockDim.x) + threadIdx.x;
  if (i >= prob.extent(0)) return;
  float top = 0;
  for (weakly::index_t j = 0; j < prob.extent(1); ++j) top = float(prob(i, j)) > top ? float(prob(i, j)) : top;
  out(i) = top;
  if (top > 1) status->report(i);
}
