// Metrics in the event files that TensorBoard reads. It writes what is given to it, scalars and texts; what
// is worth writing is the trainer's business. Format: records as in TensorFlow's TFRecord files, each one an
// Event (tensorboard_event.proto).
#pragma once

#include <cstdint>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

namespace rotor::train {

class EventWriter {
 public:
  /// Creates `directory` if need be, and in it a new file events.out.tfevents.SECONDS.HOST.rotor that sorts
  /// behind those already there, as TensorBoard reads a folder's files in that order. `resumed_step`: the
  /// step that a resumed run goes on from; TensorBoard then drops the scalars that older files hold of later
  /// steps. Throws Error naming the path.
  explicit EventWriter(const std::string& directory, std::optional<int64_t> resumed_step = std::nullopt);

  /// Tags with slashes are grouped by what stands before the first one.
  void scalar(const std::string& tag, double value, int64_t step);
  /// Shown as it is, as preformatted text and not as Markdown, on the tab TEXT. Invalid UTF-8 becomes U+FFFD.
  void text(const std::string& tag, const std::string& value, int64_t step);
  /// Hands what was written to the system, so that TensorBoard sees it. These three throw Error for a full
  /// disk.
  void flush();

  const std::string& path() const { return path_; }

 private:
  void write_record(std::string_view data);

  std::string path_;
  std::ofstream out_;
};

}  // namespace rotor::train
