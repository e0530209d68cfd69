// A progress bar on stderr: one line that is redrawn on a terminal, nothing but its last state elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace rotor::tool {

class Progress {
 public:
  /// `label` stands before the bar, e.g. "epoch 3/20"; `total` steps.
  Progress(std::string label, int64_t total);
  /// Ends the line of a bar that was left unfinished, so that what follows starts on its own.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `done` steps, with `text` behind the bar (rates, loss). Redraws at most ten times a second.
  void update(int64_t done, const std::string& text);
  /// Replaces the bar by a line that stays: label and `text`.
  void finish(const std::string& text);

  double elapsed_seconds() const;
  /// Seconds until the end at the pace so far; 0 before the first step.
  double remaining_seconds(int64_t done) const;

 private:
  std::string label_;
  int64_t total_;
  bool terminal_;
  bool bar_is_drawn_ = false;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point drawn_;
};

/// From now on no bar of this process shows anything: another process shows the same.
void hide_progress();

/// printf into a string of at most 255 characters.
[[gnu::format(printf, 1, 2)]] std::string format(const char* pattern, ...);

/// "1 thread", "2 threads".
std::string count_text(int64_t count, const std::string& noun);
/// "1:05", "2:03:04".
std::string duration_text(double seconds);
/// "1.2 MB" (10^6 bytes).
std::string bytes_text(double bytes);

}  // namespace rotor::tool
