# SPDX-License-Identifier: MIT
# The preset gcc runs every test. A preset that changes one thing (WEAKLY_TESTS_VARIANT) compiles those that can notice it.

# Formulas, tables and small solvers: the loops over memory are those of drivers and estimators with tests of their own,
# which every variant keeps.
set(weakly_tests_of_formulas
    loss/active_passive loss/asymmetric_generalized_cross_entropy loss/asymmetric_unhinged loss/censoring_weights
    loss/class_balanced_weights loss/focal loss/generalized_cross_entropy loss/jensen_shannon loss/ldam
    loss/logit_adjustment loss/loss_margins loss/mean_absolute_error loss/mixup_consistency loss/nested_dropout
    loss/normalized_cross_entropy loss/reverse_cross_entropy loss/similarity_weights loss/small_loss_selection
    loss/symmetric_cross_entropy loss/top_k_svm loss/truncated_generalized_cross_entropy noise/calibrate_joint
    noise/dataset_health noise/latent_algebra noise/noise_generation noise/noise_matrices noise/prune_counts
    rate/coding_rate_openmp)
# Comparisons with stored results of other implementations, and of definitions with each other.
set(weakly_tests_of_results
    loss/torch_losses noise/cleanlab_multilabel_golden noise/cleanlab_reference noise/label_issues_definition
    examples/label_audit_digits examples/label_audit_reports examples/uai_reference)
# Loops and state of their own: the memory sanitizers run these too.
set(weakly_tests_of_loops
    em/backward_correction em/batch_posterior em/candidate_argmax em/candidate_list_posterior em/class_balance
    em/class_counts em/class_counts_one_vs_rest em/class_top_rows em/complement_loss em/distribution_alignment
    em/em_consistency em/leveraged_weighted em/mean_scores em/multiple_instance em/pair_posterior em/pair_similarity
    em/positive_confidence em/proden em/prototypes em/sharpen em/sinkhorn em/two_softmax_transition loss/aldr_kl_step
    loss/brier loss/conditional_transport loss/crammer_singer loss/early_learning loss/ldam_multilabel loss/ldr_topk
    loss/multilabel_cluster_discrimination loss/multilabel_positive_unlabeled loss/normalized_logits
    loss/positive_unlabeled loss/reduction loss/robust_contrastive loss/robust_contrastive_step loss/robust_log_loss
    loss/uncertainty_weighted loss/weston_watkins loss/winner_take_all noise/bounded_selection
    noise/multilabel_confident_joint noise/multilabel_quality noise/noisy_labels noise/radix_sort noise/rank_issues
    graph/adjacency graph/aggregate_embedding_loss graph/bag_mean graph/class_means graph/closed_form_propagation
    graph/cosine_pseudo_labels graph/count_factor_gaussian graph/factor_graph graph/label_bags graph/label_proportions
    graph/label_proportions_one_vs_rest graph/neighbour_kernel graph/normalise_adjacency graph/proportion_labels
    graph/row_argmax graph/beliefs_given_evidence graph/breadth_first_order graph/spanning_tree_weights rate/coding_rate
    rate/covariance_accumulator rate/effective_rank rate/membership_view rate/row_normalise rate/subspace_rate
    rate/tangent_bound rate/variational_rate)
# Each allocation is counted in one program a folder; these are the second ones.
set(weakly_tests_of_allocations
    em/partial_label_allocations graph/propagation_allocations loss/softmax_loss_allocations
    rate/rate_allocations)
# The speed of vectors is what differs, their results are the same row for row.
set(weakly_tests_of_rows
    loss/aldr_kl loss/ldr_kl loss/row_loss loss/soft_cross_entropy noise/cleanlab_thresholds noise/confident_guess
    noise/label_quality)
# Estimators, which the memory sanitizers run with every compiler's widest vectors.
set(weakly_tests_of_estimators
    noise/class_thresholds noise/multilabel_issues noise/sparse_confident_joint noise/streaming
    noise/streaming_openmp)
# Sweeps over numbers in registers, and accumulators that the tests of their estimators already fill and merge.
set(weakly_tests_of_sweeps core/simd_exp_log noise/streaming noise/streaming_openmp)
# Layouts and executors that come from other libraries.
set(weakly_tests_of_libraries adapt/eigen adapt/mdspan adapt/xtensor exec/openmp exec/tbb noise/streaming_openmp)
# With the widest vectors and fused multiplication, and without any, cleanlab's integers must still come out.
set(weakly_tests_of_cleanlab noise/cleanlab_case noise/cleanlab_golden)
# Of the sources, whatever they are compiled with.
set(weakly_tests_of_sources structure/architecture)

set(weakly_tests_skipped_by_clang
    ${weakly_tests_of_sources} ${weakly_tests_of_formulas} ${weakly_tests_of_results} ${weakly_tests_of_loops}
    ${weakly_tests_of_allocations} ${weakly_tests_of_rows} ${weakly_tests_of_estimators})
set(weakly_tests_skipped_by_memory
    ${weakly_tests_of_sources} ${weakly_tests_of_formulas} ${weakly_tests_of_results} ${weakly_tests_of_allocations}
    ${weakly_tests_of_cleanlab} ${weakly_tests_of_sweeps})
set(weakly_tests_skipped_by_exceptions
    ${weakly_tests_skipped_by_clang} ${weakly_tests_of_cleanlab} ${weakly_tests_of_libraries})
set(weakly_tests_skipped_by_scalar ${weakly_tests_skipped_by_clang} ${weakly_tests_of_libraries})
# Whatever runs on several threads, and what all of that has in common. The loops over rows that are handed to the
# threads are the same in all; estimators divide and join their own work.
set(weakly_tests_kept_by_threads "weakly/exec/|counted_or_fail|takes a formula of one's own")
set(weakly_tests_skipped_by_threads
    ${weakly_tests_of_sources} ${weakly_tests_of_formulas} ${weakly_tests_of_results} ${weakly_tests_of_loops}
    ${weakly_tests_of_allocations} ${weakly_tests_of_cleanlab} loss/soft_cross_entropy noise/confident_guess
    noise/label_quality noise/class_thresholds noise/confident_joint)

# weakly_select_tests(<out> <source>...)
#
# Sets <out> to the sources that this build's variant keeps.
function(weakly_select_tests out)
  set(selected ${ARGN})
  if(WEAKLY_TESTS_VARIANT)
    if(NOT DEFINED weakly_tests_skipped_by_${WEAKLY_TESTS_VARIANT})
      message(FATAL_ERROR "WEAKLY_TESTS_VARIANT is ${WEAKLY_TESTS_VARIANT}; tests/variants.cmake knows no such variant")
    endif()
    foreach(name IN LISTS weakly_tests_skipped_by_${WEAKLY_TESTS_VARIANT})
      set(source ${PROJECT_SOURCE_DIR}/tests/${name}.cpp)
      if(NOT EXISTS ${source})
        message(FATAL_ERROR "tests/variants.cmake names tests/${name}.cpp, which does not exist")
      endif()
      list(REMOVE_ITEM selected ${source})
    endforeach()
  endif()
  set(kept_text "${weakly_tests_kept_by_${WEAKLY_TESTS_VARIANT}}")
  if(kept_text)
    set(all ${selected})
    set(selected)
    foreach(source IN LISTS all)
      file(READ ${source} text)
      if(text MATCHES "${kept_text}" OR NOT text MATCHES "TEST_CASE")  # what tests are made of is always there
        list(APPEND selected ${source})
      endif()
    endforeach()
  endif()
  set(${out} ${selected} PARENT_SCOPE)
endfunction()
