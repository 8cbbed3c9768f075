// SPDX-License-Identifier: MIT
// The code of docs/, compiled and not run: each function has what a reader has where the block of that page begins.
// documented.cmake writes the blocks, named after page and number.
#include <weakly/adapt/eigen.hpp>
#include <weakly/core/matrix.hpp>
#include <weakly/em/backward_correction.hpp>
#include <weakly/em/distribution_alignment.hpp>
#include <weakly/em/label_posterior.hpp>
#include <weakly/em/mean_scores.hpp>
#include <weakly/em/sharpen.hpp>
#include <weakly/exec/thread_pool.hpp>
#include <weakly/graph/aggregate_embedding_loss.hpp>
#include <weakly/graph/bag_mean.hpp>
#include <weakly/graph/belief_propagation.hpp>
#include <weakly/graph/beliefs_given_evidence.hpp>
#include <weakly/graph/breadth_first_order.hpp>
#include <weakly/graph/class_means.hpp>
#include <weakly/graph/cosine_pseudo_labels.hpp>
#include <weakly/graph/count_factor.hpp>
#include <weakly/graph/factor_graph.hpp>
#include <weakly/graph/grid_belief_propagation.hpp>
#include <weakly/graph/label_propagation.hpp>
#include <weakly/graph/label_proportions.hpp>
#include <weakly/graph/neighbour_kernel.hpp>
#include <weakly/graph/proportion_labels.hpp>
#include <weakly/graph/row_argmax.hpp>
#include <weakly/graph/spanning_tree_weights.hpp>
#include <weakly/loss/ldr_kl.hpp>
#include <weakly/loss/normalized_logits.hpp>
#include <weakly/loss/row_loss.hpp>
#include <weakly/noise/calibrate_joint.hpp>
#include <weakly/noise/confident_joint.hpp>
#include <weakly/noise/label_issues.hpp>
#include <weakly/noise/label_quality.hpp>
#include <weakly/rate/covariance_accumulator.hpp>
#include <weakly/rate/effective_rank.hpp>
#include <weakly/rate/rate_reduction.hpp>
#include <weakly/rate/subspace_rate.hpp>
#include <weakly/rate/tangent_bound.hpp>
#include <weakly/rate/variational_rate.hpp>

#include <Eigen/LU>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

using weakly::index_t;
using matrix = weakly::matrix<float>;

// embedding.md

std::vector<float> predict(index_t n, index_t k);

void views(const std::vector<int>& labels, const float* buffer, index_t n, index_t k, index_t padded_k) {
#include "embedding_1.inc"
}

void eigen(const Eigen::VectorXi& labels, const Eigen::MatrixXf& prob, const Eigen::MatrixXf& by_class, Eigen::Index m,
           Eigen::MatrixXf& out) {
#include "embedding_2.inc"
}

class my_matrix {
 public:
  index_t rows() const { return 1; }
  index_t cols() const { return 1; }
  float* data() { return &element_; }
  const float* data() const { return &element_; }

 private:
  float element_ = 0;
};
#include "embedding_3.inc"
static_assert(weakly::real_matrix<my_matrix> && weakly::writable_matrix<my_matrix&>);
static_assert(!weakly::writable_matrix<const my_matrix&> && !weakly::writable_matrix<my_matrix>);

void pool(const std::vector<int>& labels, const matrix& prob) {
#include "embedding_4.inc"
}

struct loop_engine {
  template <class F>
  void parallel_for(index_t n, F f) {
    for (index_t i = 0; i < n; ++i) f(i);
  }
};

void own_executor(loop_engine& engine, const std::vector<int>& labels, const matrix& prob) {
#include "embedding_5.inc"
}

struct labelled_rows {
  index_t first_row;
  std::vector<int> labels;
  matrix prob;
};
bool read(labelled_rows& batch);

void streams(weakly::thread_pool& pool, labelled_rows& batch, index_t k) {
#include "embedding_6.inc"
}

// As MPI declares them.
using MPI_Comm = struct communicator*;
using MPI_Datatype = struct data_type*;
using MPI_Op = struct operation*;
extern const MPI_Datatype MPI_INT64_T;
extern const MPI_Op MPI_SUM;
extern void* const MPI_IN_PLACE;
int MPI_Allreduce(const void* from, void* to, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm);

void machines(weakly::class_threshold_estimator& thresholds, weakly::confident_joint_estimator& joint, MPI_Comm comm) {
#include "embedding_7.inc"
}

// em/

void backward_correction(const Eigen::MatrixXd& transition, const Eigen::MatrixXf& logits,
                         const Eigen::VectorXi& labels, Eigen::VectorXf& loss, Eigen::MatrixXf& grad) {
#include "algorithms/backward_correction_1.inc"
}

void distribution_alignment(weakly::class_estimate& estimate, const matrix& prob_of_weak_view, const matrix& weak,
                            index_t n, index_t k, matrix& q) {
#include "algorithms/distribution_alignment_1.inc"
}

void mean_scores(const matrix& weak, const matrix& strong, const matrix& other_strong,
                 const weakly::candidate_sets& sets, matrix& mean, matrix& target) {
#include "algorithms/mean_scores_1.inc"
}

// loss/

void normalized_logits(const matrix& f, const std::vector<int>& label, matrix& v, std::vector<float>& loss,
                       matrix& grad) {
#include "algorithms/normalized_logits_1.inc"
}

#include "algorithms/row_loss_1.inc"
void row_loss(const matrix& logits, const std::vector<int>& labels, std::vector<float>& loss, matrix& grad) {
#include "algorithms/row_loss_2.inc"
}

// graph/

void adjacency() {
#include "algorithms/adjacency_1.inc"
}

void normalise_adjacency(const weakly::adjacency& graph, std::size_t n) {
#include "algorithms/normalise_adjacency_1.inc"
}

void label_propagation(const weakly::adjacency& graph, std::vector<double>& left, std::vector<double>& right, index_t n,
                       index_t k, const matrix& y, matrix& out, std::vector<std::uint8_t>& reached) {
#include "algorithms/label_propagation_1.inc"
}

void cosine_pseudo_labels(const weakly::normalised_adjacency& s, const matrix& prior, const matrix& embeddings,
                          weakly::workspace& scratch, weakly::workspace& more_scratch, std::vector<int>& label,
                          matrix& prototypes, matrix& y, matrix& smooth) {
#include "algorithms/cosine_pseudo_labels_1.inc"
}

void grid_belief_propagation(weakly::thread_pool& pool, index_t h, index_t w, const matrix& log_odds, matrix& p) {
#include "algorithms/grid_belief_propagation_1.inc"
}

void factor_graph() {
#include "algorithms/factor_graph_1.inc"
}

void belief_propagation(weakly::thread_pool& pool, const weakly::factor_graph<double>& graph,
                        std::vector<double>& beliefs) {
#include "algorithms/belief_propagation_1.inc"
}

void beliefs_given_evidence(weakly::thread_pool& ex, const weakly::factor_graph<double>& graph,
                            const weakly::matrix<int>& evidence, weakly::matrix<double>& beliefs) {
#include "algorithms/beliefs_given_evidence_1.inc"
}

void breadth_first_order(const weakly::factor_graph_builder& builder, const weakly::factor_graph<double>& graph) {
#include "algorithms/breadth_first_order_1.inc"
}

void spanning_tree_weights(const weakly::factor_graph<double>& graph, weakly::belief_propagation<double>& bp) {
#include "algorithms/spanning_tree_weights_1.inc"
}

void count_factor(const std::vector<double>& theta, const std::vector<double>& f, index_t n,
                  std::vector<double>& message) {
#include "algorithms/count_factor_1.inc"
}

void label_proportions(weakly::thread_pool& pool, const std::vector<std::int64_t>& offsets,
                       const std::vector<std::int32_t>& columns, const matrix& x, index_t n,
                       const std::vector<int>& bag_begin, const std::vector<int>& bag_item,
                       const std::vector<int>& count, weakly::workspace& scratch, std::vector<float>& kernel,
                       std::vector<double>& log_odds, std::vector<double>& label) {
#include "algorithms/label_proportions_1.inc"
}

void aggregate_embedding_loss(const weakly::label_bags& bags, const matrix& embedding, const std::vector<float>& logit,
                              const std::vector<float>& label, const std::vector<float>& bag_logit,
                              const matrix& grad_mean, weakly::workspace& scratch, matrix& mean,
                              std::vector<float>& grad, std::vector<float>& bag_grad, matrix& grad_embedding) {
#include "algorithms/aggregate_embedding_loss_1.inc"
}

// rate/

void coding_rate(const std::vector<float>& z, index_t n, index_t d) {
#include "algorithms/coding_rate_1.inc"
}

void rate_reduction(const std::vector<float>& z, const std::vector<int>& label, index_t n, index_t d, index_t k,
                    std::vector<float>& grad) {
#include "algorithms/rate_reduction_1.inc"
}

bool next_batch();

void covariance_accumulator(weakly::thread_pool& pool, index_t classes, index_t features, const matrix& embeddings,
                            const std::vector<int>& labels) {
#include "algorithms/covariance_accumulator_1.inc"
}

void warn(index_t collapsed_class);

void effective_rank(const weakly::covariance_accumulator& seen, index_t k) {
#include "algorithms/effective_rank_1.inc"
}

void subspace_rate(weakly::thread_pool& pool, const weakly::covariance_accumulator& seen, const matrix& z,
                   const matrix& u, index_t heads, matrix& dz, matrix& du) {
#include "algorithms/subspace_rate_1.inc"
}

void tangent_bound(weakly::thread_pool& pool, const weakly::covariance_accumulator& seen, index_t k, index_t d,
                   int step, const matrix& z, const matrix& pi, matrix& dz) {
#include "algorithms/tangent_bound_1.inc"
}

void variational_rate(weakly::thread_pool& pool, const weakly::covariance_accumulator& seen, index_t k, index_t d,
                      index_t p, matrix& d_gamma, matrix& d_a) {
#include "algorithms/variational_rate_1.inc"
}
