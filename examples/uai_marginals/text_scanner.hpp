// SPDX-License-Identifier: MIT
#pragma once

#include "../command_line/bad_input.hpp"

#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace uai {

using command_line::bad_input;

/// Words and numbers of a text, one after the other, and where they stand. What is wrong is told as bad_input: one line
/// with the name of the file, the line in it, what was found and what to do.
class text_scanner {
 public:
  /// `comment` starts a comment that ends with its line; 0: there are none.
  text_scanner(std::string_view text, std::string_view name, char comment = 0)
      : text_(text), name_(command_line::printable(name)), comment_(comment) {
    skip();
  }

  bool at_end() const { return at_ == text_.size(); }

  /// No more words than this can follow: each takes a byte and one between it and the next. What a file claims to hold
  /// is compared with it before memory is taken.
  std::int64_t most_words_left() const { return static_cast<std::int64_t>((text_.size() - at_ + 1) / 2); }

  /// `what` says what the word is to be: "the number of variables", say.
  std::string_view word(const std::string& what) {
    if (at_end()) fail("ends where " + what + " should stand; copy or make it again");
    const std::size_t first = at_;
    while (at_ < text_.size() && !is_space(text_[at_])) ++at_;
    const std::string_view found = text_.substr(first, at_ - first);
    line_of_word_ = line_;
    skip();
    return found;
  }

  /// A whole number from `least` to `most`.
  std::int64_t integer(const std::string& what, std::int64_t least, std::int64_t most) {
    const std::string_view found = word(what);
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(digits_of(found), found.data() + found.size(), value);
    if (end != found.data() + found.size() || (error != std::errc() && error != std::errc::result_out_of_range))
      fail(quoted(found) + " stands for " + what + "; write a whole number");
    if (error != std::errc() || value < least || value > most)
      fail(what + " is " + quoted(found) + "; it must be " + std::to_string(least) + " to " + std::to_string(most));
    return value;
  }

  /// A count of things that take `words_each` words or more.
  std::int64_t count(const std::string& what, std::int64_t words_each) {
    constexpr std::int64_t any = std::int64_t(1) << 62;
    const std::int64_t claimed = integer(what, 0, any);
    if (claimed > most_words_left() / words_each)
      fail(what + " is " + std::to_string(claimed) +
           ", more than the rest of the file can hold; correct it, or copy the " + "file again");
    return claimed;
  }

  /// A value of a table: finite and not negative.
  double value(const std::string& what) {
    const std::string_view found = word(what);
    double x = 0;
    const auto [end, error] = std::from_chars(digits_of(found), found.data() + found.size(), x);
    if (error == std::errc::result_out_of_range)
      fail(what + " is " + quoted(found) + ", beyond double precision; scale the table");
    if (error != std::errc() || end != found.data() + found.size())
      fail(quoted(found) + " stands for " + what + "; write a number");
    if (!(x >= 0) || std::isinf(x)) fail(what + " is " + quoted(found) + "; it must be finite and not negative");
    return x;
  }

  /// About the line of the last word.
  [[noreturn]] void fail(const std::string& what) const {
    throw bad_input(name_ + ": line " + std::to_string(line_of_word_) + ": " + what);
  }

  static std::string quoted(std::string_view text) {
    return "'" + command_line::printable(text.substr(0, 40)) + (text.size() > 40 ? "..." : "") + "'";
  }

 private:
  static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

  // from_chars knows no plus sign.
  static const char* digits_of(std::string_view found) {
    return found.data() + (found.size() > 1 && found[0] == '+' && found[1] != '-' ? 1 : 0);
  }

  void skip() {
    for (; at_ < text_.size(); ++at_) {
      if (comment_ != 0 && text_[at_] == comment_)
        while (at_ + 1 < text_.size() && text_[at_ + 1] != '\n') ++at_;
      else if (!is_space(text_[at_]))
        return;
      if (text_[at_] == '\n') ++line_;
    }
  }

  std::string_view text_;
  std::string name_;
  char comment_;
  std::size_t at_ = 0;
  std::int64_t line_ = 1;
  std::int64_t line_of_word_ = 1;
};

}  // namespace uai
