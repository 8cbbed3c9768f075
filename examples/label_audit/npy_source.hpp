// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace npy {

/// What is wrong with an .npy file: one line that names the file, what was found and what to do.
class npy_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace detail {

/// Text from outside, made safe for one line of a terminal: control characters become '?', and at most `limit` bytes
/// stay.
inline std::string printable(std::string_view text, std::size_t limit = std::string_view::npos) {
  std::string line(text.substr(0, limit));
  for (char& c : line)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  if (text.size() > limit) line += "...";
  return line;
}

[[noreturn]] inline void fail(const std::string& name, const std::string& what) { throw npy_error(name + ": " + what); }

inline std::string describe(int error_number) { return std::generic_category().message(error_number); }

}  // namespace detail

/// Bytes that can be read at any offset. Abstract, so that a test or a fuzzer can stand in for the file.
class byte_source {
 public:
  explicit byte_source(std::string_view name) : name_(detail::printable(name)) {}
  virtual ~byte_source() = default;
  byte_source(const byte_source&) = delete;
  byte_source& operator=(const byte_source&) = delete;

  /// What error messages call it: the path of a file.
  const std::string& name() const { return name_; }

  virtual std::int64_t size() const = 0;

  /// Fills `out` with the bytes that start at `offset`; throws npy_error where there are fewer.
  virtual void read(std::int64_t offset, std::span<std::byte> out) const = 0;

 private:
  std::string name_;
};

/// A regular file read with pread: nothing is mapped, so resident memory stays small, and a file that shrinks while it
/// is being read is an npy_error, not a signal.
class file_source final : public byte_source {
 public:
  explicit file_source(const std::string& path) : byte_source(path) {
    // O_NONBLOCK: opening a pipe without a writer must fail below, not wait here.
    file_.descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file_.descriptor < 0) {
      const int error = errno;
      detail::fail(name(), "cannot be opened (" + detail::describe(error) + "); " +
                               (error == EACCES ? "make it readable" : "check the path"));
    }
    struct stat status = {};
    if (::fstat(file_.descriptor, &status) != 0)
      detail::fail(name(), "cannot be examined (" + detail::describe(errno) + "); copy it to a local disk");
    if (S_ISDIR(status.st_mode)) detail::fail(name(), "is a directory; give the path of an .npy file");
    if (!S_ISREG(status.st_mode))
      detail::fail(name(), "is a pipe or a device, and is read more than once; save it to a file first");
    size_ = static_cast<std::int64_t>(status.st_size);
  }

  std::int64_t size() const override { return size_; }

  void read(std::int64_t offset, std::span<std::byte> out) const override {
    static_assert(sizeof(off_t) >= 8, "compile with -D_FILE_OFFSET_BITS=64");
    while (!out.empty()) {
      const ssize_t got = ::pread(file_.descriptor, out.data(), out.size(), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0)
        detail::fail(name(), "cannot be read at byte " + std::to_string(offset) + " (" + detail::describe(errno) +
                                 "); check the disk");
      if (got == 0)
        detail::fail(name(), "ends at byte " + std::to_string(offset) + ", but had " + std::to_string(size_) +
                                 " bytes when it was opened; run again when nothing writes to it");
      out = out.subspan(static_cast<std::size_t>(got));
      offset += got;
    }
  }

 private:
  struct owned_descriptor {
    int descriptor = -1;
    owned_descriptor() = default;
    owned_descriptor(const owned_descriptor&) = delete;
    owned_descriptor& operator=(const owned_descriptor&) = delete;
    ~owned_descriptor() {
      if (descriptor >= 0) ::close(descriptor);
    }
  };

  owned_descriptor file_;
  std::int64_t size_ = 0;
};

}  // namespace npy
