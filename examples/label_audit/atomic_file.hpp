// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace label_audit {

/// Why a file could not be written: one line that names it and says what to do.
class file_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A file that appears whole or not at all: bytes go to `path`.PID.tmp, and commit() renames that to `path`. Without
/// commit() the destructor removes it, and what was at `path` before stays. A link is followed; a terminal, a pipe or a
/// device, such as /dev/stdout, is written to directly.
class atomic_file {
 public:
  explicit atomic_file(const std::string& path) : shown_(path), target_(path) {
    for (char& c : shown_)
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
    struct stat status = {};
    const bool exists = ::stat(path.c_str(), &status) == 0;
    if (exists && S_ISDIR(status.st_mode)) throw file_error(shown_ + ": is a directory; give the path of a file");
    if (exists && !S_ISREG(status.st_mode)) {
      descriptor_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    } else {
      if (exists) {
        std::error_code ignored;
        const std::filesystem::path real = std::filesystem::canonical(path, ignored);
        if (!ignored) target_ = real.string();
      }
      written_ = target_ + "." + std::to_string(::getpid()) + ".tmp";
      ::unlink(written_.c_str());  // left by a killed process that had the same number
      descriptor_ = ::open(written_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    }
    if (descriptor_ < 0) {
      const int error = errno;
      written_.clear();
      throw file_error(message("cannot be written", error));
    }
  }

  ~atomic_file() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!written_.empty()) ::unlink(written_.c_str());
  }

  atomic_file(const atomic_file&) = delete;
  atomic_file& operator=(const atomic_file&) = delete;

  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t put = ::write(descriptor_, bytes.data(), bytes.size());
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) throw file_error(message("cannot be written", errno));
      bytes = bytes.subspan(static_cast<std::size_t>(put));
    }
  }

  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

  /// Makes the file appear. To be called once, after the last write.
  void commit() {
    const int closed = ::close(descriptor_);
    descriptor_ = -1;
    if (closed != 0) throw file_error(message("cannot be written", errno));
    if (written_.empty()) return;
    if (std::rename(written_.c_str(), target_.c_str()) != 0) throw file_error(message("cannot be replaced", errno));
    written_.clear();
  }

 private:
  std::string message(const std::string& what, int error) const {
    const char* const advice = error == ENOENT                      ? "create the directory first"
                               : error == ENOSPC || error == EDQUOT ? "free some space"
                               : error == EACCES || error == EPERM || error == EROFS
                                   ? "choose a directory you may write to"
                                   : "choose another path";
    return shown_ + ": " + what + " (" + std::generic_category().message(error) + "); " + advice;
  }

  std::string shown_;
  std::string target_;
  std::string written_;  // beside the target; empty where that is written to directly
  int descriptor_ = -1;
};

}  // namespace label_audit
