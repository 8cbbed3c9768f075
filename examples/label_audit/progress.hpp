// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>

namespace label_audit {

/// A bar on stderr, only where that is a terminal and the work takes longer than half a second.
class progress {
 public:
  using clock = std::chrono::steady_clock;

  explicit progress(bool wanted) : wanted_(wanted && ::isatty(STDERR_FILENO) == 1) {}
  ~progress() { clear(); }
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;

  void step(const char* what, weakly::index_t done, weakly::index_t total) {
    if (!wanted_) return;
    const auto now = clock::now();
    if (now - started_ < std::chrono::milliseconds(500) || now - drawn_ < std::chrono::milliseconds(100)) return;
    drawn_ = now;
    const double share = total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 1.0;
    const auto filled = static_cast<std::size_t>(share * 32);
    std::fprintf(stderr, "\r\033[K%-18s [%s%s] %3.0f %%", what, std::string(filled, '#').c_str(),
                 std::string(32 - filled, ' ').c_str(), 100 * share);
    std::fflush(stderr);
    visible_ = true;
  }

  void clear() {
    if (visible_) std::fputs("\r\033[K", stderr);
    visible_ = false;
  }

 private:
  bool wanted_;
  bool visible_ = false;
  clock::time_point started_ = clock::now();
  clock::time_point drawn_{};
};

}  // namespace label_audit
