// Directories written under a temporary name and renamed; links swapped by rename.
#include "train/trainer/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>
#include <sstream>
#include <vector>

#include "rotor/core/error.h"
#include "rotor/formats/atomic_file.h"

namespace rotor::train {
namespace {

namespace fs = std::filesystem;

constexpr const char* kStepPrefix = "step-";
constexpr const char* kOld = ".old";        // before kTemporary: a checkpoint that is being replaced
constexpr const char* kTemporary = ".tmp";  // ending of directories that are no checkpoints

std::string step_name(int64_t step) {
  return cat(kStepPrefix, step);
}

}  // namespace

RunDirectory::RunDirectory(std::string path) : path_(std::move(path)) {
  std::error_code error;
  fs::create_directories(file("checkpoints"), error);
  if (error) fail(path_, ": cannot create output_dir: ", error.message());
  lock_ = open(file(".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_ < 0) fail(path_, ": cannot create .lock: ", std::strerror(errno));
  if (flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    close(lock_);
    fail(path_, ": another run is writing here; choose another folder with --set output_dir=DIR");
  }
  for (const auto& entry : fs::directory_iterator(file("checkpoints"))) {
    if (entry.path().extension() != kTemporary) continue;
    // A run that was killed between two renames left the old checkpoint under its other name.
    const fs::path inner = entry.path().stem();
    const fs::path original =
        inner.extension() == kOld ? entry.path().parent_path() / inner.stem() : fs::path();
    if (!original.empty() && !fs::exists(original)) {
      fs::rename(entry.path(), original, error);
    } else {
      fs::remove_all(entry.path(), error);
    }
  }
}

RunDirectory::~RunDirectory() {
  close(lock_);
}

std::optional<std::string> RunDirectory::last_checkpoint() const {
  const std::string link = file("checkpoint");
  if (!fs::exists(link)) return std::nullopt;
  return link;
}

void RunDirectory::add_checkpoint(int64_t step, bool is_best, int64_t keep,
                                  const std::function<void(const std::string&)>& write) {
  const std::string target = file("checkpoints/" + step_name(step));
  const std::string temporary = target + kTemporary;
  const std::string replaced = target + kOld + kTemporary;
  fs::remove_all(temporary);
  std::error_code error;
  fs::create_directory(temporary, error);
  if (error) fail(temporary, ": cannot create: ", error.message());
  try {
    write(temporary);
    // A directory of that name is from the same step of an interrupted and resumed run.
    fs::remove_all(replaced);
    if (fs::exists(target)) fs::rename(target, replaced);
    fs::rename(temporary, target, error);
    if (error) fail(target, ": cannot rename into place: ", error.message());
  } catch (...) {
    fs::remove_all(temporary, error);
    if (!fs::exists(target) && fs::exists(replaced)) fs::rename(replaced, target, error);
    throw;
  }
  sync_directory(file("checkpoints"));
  if (is_best) replace_symlink("checkpoints/" + step_name(step), file("best"));
  replace_symlink("checkpoints/" + step_name(step), file("checkpoint"));
  fs::remove_all(replaced, error);
  prune(keep);
}

void RunDirectory::prune(int64_t keep) const {
  std::set<std::string> linked;
  for (const char* link : {"checkpoint", "best"}) {
    if (fs::is_symlink(file(link))) linked.insert(fs::read_symlink(file(link)).filename());
  }
  std::vector<std::pair<int64_t, fs::path>> others;
  for (const auto& entry : fs::directory_iterator(file("checkpoints"))) {
    const std::string name = entry.path().filename();
    const std::string number =
        name.starts_with(kStepPrefix) ? name.substr(std::string(kStepPrefix).size()) : "";
    if (linked.contains(name) || number.empty()) continue;
    if (!std::all_of(number.begin(), number.end(), [](char c) { return c >= '0' && c <= '9'; })) continue;
    others.emplace_back(std::stoll(number), entry.path());
  }
  std::sort(others.begin(), others.end());
  for (size_t i = 0; std::cmp_less(i + static_cast<size_t>(keep), others.size()); ++i) {
    fs::remove_all(others[i].second);
  }
}

void RunDirectory::clear() {
  metrics_.close();
  for (const char* name : {"checkpoint", "best", "metrics.jsonl", "tokenizer.model"}) fs::remove(file(name));
  for (const char* name : {"checkpoints", "tensorboard"}) fs::remove_all(file(name));
  fs::create_directories(file("checkpoints"));
}

void RunDirectory::log(const Json& line) {
  if (!metrics_.is_open()) metrics_.open(file("metrics.jsonl"), std::ios::app);
  metrics_ << dump_json(line) << "\n" << std::flush;
  if (!metrics_) fail(file("metrics.jsonl"), ": cannot write");
}

void RunDirectory::drop_metrics_after(int64_t step) {
  metrics_.close();
  std::ifstream in(file("metrics.jsonl"));
  if (!in) return;
  std::string kept;
  for (std::string line; std::getline(in, line);) {
    const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (json.is_object() && json.contains("step") && json["step"].is_number_integer() &&
        json["step"] <= step) {
      kept += line + "\n";
    }
  }
  write_file(file("metrics.jsonl"), kept);
}

}  // namespace rotor::train
