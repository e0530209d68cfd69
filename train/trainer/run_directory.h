// What a run leaves on disk, and how: checkpoints/step-N/ directories that appear whole, the links
// `checkpoint` (last) and `best`, config.yaml, metrics.jsonl. Nothing that was readable is ever lost.
#pragma once

#include <cstdint>
#include <fstream>
#include <functional>
#include <optional>
#include <string>

#include "rotor/formats/json.h"

namespace rotor::train {

class RunDirectory {
 public:
  /// Creates the folder if it is not there, and locks it: two runs in one folder would mix. Removes what a
  /// run that was killed while it wrote a checkpoint left behind. Throws Error if that fails or if another
  /// process holds the lock.
  explicit RunDirectory(std::string path);
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

  /// The directory that `checkpoint` points to, if there is one.
  std::optional<std::string> last_checkpoint() const;

  /// Lets `write` fill a new directory for `step`, moves it into place whole, and points `checkpoint` at it
  /// (and `best`, if `is_best`). Then removes all but the `keep` newest of the other checkpoints.
  void add_checkpoint(int64_t step, bool is_best, int64_t keep,
                      const std::function<void(const std::string&)>& write);

  /// Removes checkpoints, links, metrics and event files of an earlier run.
  void clear();

  /// Appends one line to metrics.jsonl.
  void log(const Json& line);
  /// Drops the lines of metrics.jsonl whose "step" is past `step`: a resumed run writes them again.
  void drop_metrics_after(int64_t step);

 private:
  void prune(int64_t keep) const;

  std::string path_;
  int lock_ = -1;
  std::ofstream metrics_;
};

}  // namespace rotor::train
