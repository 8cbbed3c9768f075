// SPDX-License-Identifier: MIT
// Whether a sanitizer watches this build. It makes everything many times slower, and a part of a random sweep shows it
// every path.
#pragma once

#if defined(__has_feature)
#define WEAKLY_TEST_SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WEAKLY_TEST_SANITIZED 1
#else
#define WEAKLY_TEST_SANITIZED 0
#endif

namespace support {

inline constexpr bool sanitized = WEAKLY_TEST_SANITIZED;

/// How many rounds of a random sweep to run of `all`.
constexpr int rounds(int all) { return sanitized ? (all + 9) / 10 : all; }

}  // namespace support
