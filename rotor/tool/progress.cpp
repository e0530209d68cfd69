// Drawing of the bar.
#include "rotor/tool/progress.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdarg>
#include <cstdio>

namespace rotor::tool {
namespace {

constexpr int kBarWidth = 20;
constexpr auto kRedrawInterval = std::chrono::milliseconds(100);

std::atomic<bool> hidden = false;

}  // namespace

void hide_progress() {
  hidden = true;
}

Progress::Progress(std::string label, int64_t total)
    : label_(std::move(label)),
      total_(std::max<int64_t>(total, 1)),
      terminal_(!hidden && isatty(STDERR_FILENO) != 0),
      start_(std::chrono::steady_clock::now()),
      drawn_(start_ - kRedrawInterval) {}

Progress::~Progress() {
  if (bar_is_drawn_) std::fputc('\n', stderr);
}

double Progress::elapsed_seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

double Progress::remaining_seconds(int64_t done) const {
  return done <= 0 ? 0.0 : elapsed_seconds() * static_cast<double>(total_ - done) / static_cast<double>(done);
}

void Progress::update(int64_t done, const std::string& text) {
  if (!terminal_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - drawn_ < kRedrawInterval) return;
  drawn_ = now;
  bar_is_drawn_ = true;
  const auto filled = static_cast<int>(std::min(done, total_) * kBarWidth / total_);
  const std::string bar = std::string(static_cast<size_t>(filled), '=') +
                          std::string(static_cast<size_t>(kBarWidth - filled), ' ');
  std::fprintf(stderr, "\r%s [%s] %s\x1b[K", label_.c_str(), bar.c_str(), text.c_str());
  std::fflush(stderr);
}

void Progress::finish(const std::string& text) {
  bar_is_drawn_ = false;
  if (hidden) return;
  std::fprintf(stderr, "%s%s %s%s\n", terminal_ ? "\r" : "", label_.c_str(), text.c_str(),
               terminal_ ? "\x1b[K" : "");
}

std::string format(const char* pattern, ...) {
  std::array<char, 256> text{};
  va_list arguments;
  va_start(arguments, pattern);
  std::vsnprintf(text.data(), text.size(), pattern, arguments);
  va_end(arguments);
  return text.data();
}

std::string count_text(int64_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

std::string duration_text(double seconds) {
  const auto whole = static_cast<long>(std::lround(std::max(seconds, 0.0)));
  if (whole >= 3600) return format("%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
  return format("%ld:%02ld", whole / 60, whole % 60);
}

std::string bytes_text(double bytes) {
  if (bytes >= 1e9) return format("%.2f GB", bytes / 1e9);
  if (bytes >= 1e6) return format("%.2f MB", bytes / 1e6);
  if (bytes >= 1e3) return format("%.1f kB", bytes / 1e3);
  return format("%.0f bytes", bytes);
}

}  // namespace rotor::tool
