// SPDX-License-Identifier: MIT
// Whatever is defined in a header and not inline is defined twice in this program.
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/matrix.hpp>
#include <weakly/core/view.hpp>
