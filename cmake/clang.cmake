# SPDX-License-Identifier: MIT
# Toolchain file that picks clang. The oldest supported one comes first: what it accepts, the newer ones accept.
find_program(WEAKLY_CLANGXX NAMES clang++-16 clang++-17 clang++-18 clang++-19 clang++-20 clang++-21 clang++ REQUIRED)
set(CMAKE_CXX_COMPILER ${WEAKLY_CLANGXX})
