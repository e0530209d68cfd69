// The kinds of sources, and hints for what is none.
#include "rotor/text/open_source.h"

#include <filesystem>
#include <utility>

#include "rotor/core/error.h"
#include "rotor/formats/checkpoint.h"
#include "rotor/formats/lfs_pointer.h"
#include "rotor/formats/mapped_file.h"
#include "rotor/formats/rotor_source.h"

namespace rotor::text {
namespace {

namespace fs = std::filesystem;

OpenedSource open_directory(const std::string& path, const SourceOptions& options) {
  if (!fs::exists(path + "/config.json")) {
    if (fs::exists(path + "/checkpoint/config.json")) {
      fail(path, ": this is a run; its checkpoints are ", path, "/checkpoint (last) and ", path, "/best");
    }
    for (const auto& entry : fs::directory_iterator(path)) {
      const std::string file = entry.path();
      if (file.ends_with(".gguf") || file.ends_with(".rotor")) {
        fail(path, ": no config.json here; a directory with ", file, ": name the file itself");
      }
    }
  }
  auto model = std::make_unique<Checkpoint>(
      path, CheckpointOptions{.ignore_unknown = options.gguf.ignore_unknown, .ternarize = options.ternarize});
  ModelText text = model_text(*model);
  return {std::move(model), std::move(text)};
}

}  // namespace

OpenedSource open_source(const std::string& path, const SourceOptions& options) {
  if (!fs::exists(path)) fail(path, ": no such file or directory");
  if (fs::is_directory(path)) return open_directory(path, options);
  if (options.ternarize) fail(path, ": --ternarize is for checkpoint directories with float matrices");
  const MappedFile file(path);
  refuse_lfs_pointer(file.text(), path);
  if (file.text().starts_with("GGUF")) {
    auto model = std::make_unique<GgufSource>(path, options.gguf);
    ModelText text = model_text(*model);
    const bool is_i2s = model->format().ends_with("I2_S");
    return {std::move(model), std::move(text), is_i2s};
  }
  const std::string name = fs::path(path).filename();
  if (name.ends_with(".safetensors") || name == kConfigFile || name == kIndexFile) {
    const std::string parent = fs::path(path).parent_path();
    fail(path, ": a file of a checkpoint: name its directory, ", parent.empty() ? "." : parent);
  }
  constexpr size_t kBrace = 8;  // a safetensors header begins behind its length
  if (!name.ends_with(".rotor") && (file.text().size() <= kBrace || file.text()[kBrace] != '{')) {
    fail(path, ": expected a checkpoint directory, a GGUF file or a .rotor file");
  }
  auto model = std::make_unique<RotorSource>(path);
  ModelText text = model_text(model->file());
  return {std::move(model), std::move(text)};
}

}  // namespace rotor::text
