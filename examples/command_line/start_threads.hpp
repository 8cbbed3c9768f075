// SPDX-License-Identifier: MIT
#pragma once

#include "bad_input.hpp"

#include <weakly/core/config.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <memory>
#include <string>
#include <system_error>

namespace command_line {

/// The pool that --threads asks for. Throws bad_input where the system cannot start so many.
inline std::unique_ptr<weakly::thread_pool> start_threads(weakly::index_t threads) {
  try {
    return std::make_unique<weakly::thread_pool>(static_cast<int>(threads));
  } catch (const std::system_error& e) {
    throw bad_input("--threads " + std::to_string(threads) + ": they cannot all be started (" + e.code().message() +
                    "); pass fewer");
  }
}

}  // namespace command_line
