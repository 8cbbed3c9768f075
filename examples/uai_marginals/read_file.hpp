// SPDX-License-Identifier: MIT
#pragma once

#include "../command_line/bad_input.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <string>
#include <system_error>

namespace uai {

/// The bytes of a file or a pipe. Throws bad_input.
inline std::string read_file(const std::string& path) {
  const auto refuse = [&](const std::string& what, int error, const char* advice) {
    throw command_line::bad_input(command_line::printable(path) + ": " + what + " (" +
                                  std::generic_category().message(error) + "); " + advice);
  };
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) refuse("cannot be opened", errno, errno == EACCES ? "make it readable" : "check the path");
  std::string text;
  int error = 0;
  for (;;) {
    constexpr std::size_t part = std::size_t(1) << 18;
    const std::size_t have = text.size();
    text.resize(have + part);
    const ssize_t got = ::read(descriptor, text.data() + have, part);
    text.resize(have + (got > 0 ? static_cast<std::size_t>(got) : 0));
    if (got == 0) break;
    if (got < 0 && errno != EINTR) {
      error = errno;
      break;
    }
  }
  ::close(descriptor);
  if (error != 0) refuse("cannot be read", error, "give the path of a file");
  return text;
}

}  // namespace uai
