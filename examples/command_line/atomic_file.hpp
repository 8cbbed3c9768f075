// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace command_line {

/// Why a file could not be written: one line that names it and says what to do.
class file_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Temporary files to delete when a signal ends the program. A signal handler reaches nothing but static storage.
class temporaries {
 public:
  /// To be called once, before the first file is opened. A signal that is ignored (nohup) stays ignored.
  static void delete_on_signal() {
    struct sigaction action = {};
    action.sa_handler = [](int signal_number) {
      for (const slot& s : slots_)
        if (s.used) ::unlink(s.path);
      ::signal(signal_number, SIG_DFL);
      ::raise(signal_number);
    };
    ::sigemptyset(&action.sa_mask);
    for (const int s : signals_) {
      struct sigaction before = {};
      ::sigaction(s, nullptr, &before);
      if (before.sa_handler != SIG_IGN) ::sigaction(s, &action, nullptr);
    }
  }

  /// While it lives, no signal comes between what happens to a file and what is recorded about it.
  class uninterrupted {
   public:
    uninterrupted() {
      sigset_t set;
      ::sigemptyset(&set);
      for (const int s : signals_) ::sigaddset(&set, s);
      ::sigprocmask(SIG_BLOCK, &set, &before_);
    }
    ~uninterrupted() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }
    uninterrupted(const uninterrupted&) = delete;
    uninterrupted& operator=(const uninterrupted&) = delete;

   private:
    sigset_t before_;
  };

  static void add(const std::string& path) {
    for (slot& s : slots_) {
      if (s.used || path.size() >= sizeof s.path) continue;
      std::memcpy(s.path, path.c_str(), path.size() + 1);
      s.used = 1;
      return;
    }
  }

  static void remove(const std::string& path) {
    for (slot& s : slots_)
      if (s.used && path == s.path) s.used = 0;
  }

 private:
  struct slot {
    volatile std::sig_atomic_t used;
    char path[PATH_MAX];
  };
  static inline std::array<slot, 4> slots_;  // zero, as all static storage
  static constexpr std::array<int, 7> signals_ = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGQUIT, SIGXCPU, SIGXFSZ};
};

/// A file that appears whole or not at all: bytes go to `path`.PID.tmp, and commit() renames that to `path`. Without
/// commit() the destructor removes it, and what was at `path` before stays. A link is followed; a terminal, a pipe or a
/// device, such as /dev/stdout, is written to directly. Throws file_error, from the constructor already where the place
/// cannot be written: before the work that the file is to hold.
class atomic_file {
 public:
  explicit atomic_file(const std::string& path) : shown_(path), target_(path) {
    for (char& c : shown_)
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
    struct stat status = {};
    const bool exists = ::stat(path.c_str(), &status) == 0;
    if (exists && S_ISDIR(status.st_mode)) throw file_error(shown_ + ": is a directory; give the path of a file");
    if (exists && !S_ISREG(status.st_mode)) {
      open(path, O_WRONLY | O_CLOEXEC);
      return;
    }
    if (exists) {
      if (::access(path.c_str(), W_OK) != 0) fail("cannot be written", errno);
      std::error_code ignored;
      const std::filesystem::path real = std::filesystem::canonical(path, ignored);
      if (!ignored) target_ = real.string();
    }
    const temporaries::uninterrupted guard;
    written_ = target_ + "." + std::to_string(::getpid()) + ".tmp";
    ::unlink(written_.c_str());  // left by a killed process that had the same number
    temporaries::add(written_);
    open(written_, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC);
    if (exists) ::fchmod(::fileno(file_), status.st_mode & 07777);
  }

  atomic_file(atomic_file&& other) noexcept
      : shown_(std::move(other.shown_)),
        target_(std::move(other.target_)),
        written_(std::exchange(other.written_, {})),
        file_(std::exchange(other.file_, nullptr)) {}
  atomic_file& operator=(atomic_file&&) = delete;

  ~atomic_file() {
    if (file_) std::fclose(file_);
    forget();
  }

  void write(std::span<const std::byte> bytes) {
    if (!bytes.empty() && std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size())
      fail("cannot be written", errno);
  }
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

  /// Hands all bytes to the file system; the destination does not change yet. Where several files are to appear
  /// together, finish each before the first commit.
  void finish() {
    if (!file_) return;
    const int flush_error = std::fflush(file_) == 0 ? 0 : errno;
    const int close_error = std::fclose(std::exchange(file_, nullptr)) == 0 ? 0 : errno;
    if (flush_error || close_error) fail("cannot be written", flush_error ? flush_error : close_error);
  }

  /// Makes the file appear. To be called once, after the last write.
  void commit() {
    finish();
    if (written_.empty()) return;
    const temporaries::uninterrupted guard;
    if (std::rename(written_.c_str(), target_.c_str()) != 0) fail("cannot be replaced", errno);
    temporaries::remove(std::exchange(written_, {}));
  }

 private:
  void open(const std::string& path, int flags) {
    const int descriptor = ::open(path.c_str(), flags, 0666);
    file_ = descriptor < 0 ? nullptr : ::fdopen(descriptor, "wb");
    if (file_) return;
    const int error = errno;
    if (descriptor >= 0) ::close(descriptor);
    forget();
    fail("cannot be written", error);
  }

  void forget() {
    if (written_.empty()) return;
    const temporaries::uninterrupted guard;
    ::unlink(written_.c_str());
    temporaries::remove(std::exchange(written_, {}));
  }

  [[noreturn]] void fail(const std::string& what, int error) const {
    const char* const advice = error == ENOENT                      ? "create the directory first"
                               : error == ENOSPC || error == EDQUOT ? "free some space"
                               : error == EACCES || error == EPERM || error == EROFS
                                   ? "choose a directory you may write to"
                                   : "choose another path";
    throw file_error(shown_ + ": " + what + " (" + std::generic_category().message(error) + "); " + advice);
  }

  std::string shown_;
  std::string target_;
  std::string written_;  // beside the target; empty where that is written to directly
  std::FILE* file_ = nullptr;
};

}  // namespace command_line
