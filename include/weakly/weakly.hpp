// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/check/distribution.hpp>
#include <weakly/check/labels.hpp>
#include <weakly/loss/aldr_kl.hpp>
#include <weakly/loss/ldr_kl.hpp>
#include <weakly/loss/ldr_topk.hpp>
#include <weakly/loss/loss_margins.hpp>
#include <weakly/noise/calibrate_joint.hpp>
#include <weakly/noise/class_thresholds.hpp>
#include <weakly/noise/cleanlab_thresholds.hpp>
#include <weakly/noise/confident_guess.hpp>
#include <weakly/noise/confident_joint.hpp>
#include <weakly/noise/dataset_health.hpp>
#include <weakly/noise/label_issues.hpp>
#include <weakly/noise/label_quality.hpp>
#include <weakly/noise/latent_algebra.hpp>
#include <weakly/noise/multilabel_confident_joint.hpp>
#include <weakly/noise/multilabel_issues.hpp>
#include <weakly/noise/multilabel_quality.hpp>
#include <weakly/noise/noise_generation.hpp>
#include <weakly/noise/noise_matrices.hpp>
#include <weakly/noise/noisy_labels.hpp>
#include <weakly/noise/prune_counts.hpp>
#include <weakly/noise/rank_issues.hpp>
#include <weakly/noise/sparse_confident_joint.hpp>
