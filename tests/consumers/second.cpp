// SPDX-License-Identifier: MIT
// Every header comes in front of this file and of main.cpp: what a header defines and is not inline is defined twice.
#include <weakly/core/config.hpp>

weakly::index_t second();
weakly::index_t second() { return 2; }
