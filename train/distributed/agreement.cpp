// Rank 0 says what it has; the others compare.
#include "train/distributed/agreement.h"

#include <unistd.h>

#include <filesystem>

#include "rotor/core/error.h"
#include "rotor/formats/atomic_file.h"
#include "rotor/formats/mapped_file.h"
#include "rotor/tool/main.h"

namespace rotor::train {

void check_same_config(RankGroup& group, const TrainConfig& config, const std::string& start) {
  const std::string version = group.broadcast(tool::version_text());
  const std::string root_start = group.broadcast(start);
  const TrainConfig root = parse_train_config(group.broadcast(to_yaml(config)), "the config of rank 0");
  if (version != tool::version_text()) {
    fail("rank 0 is ", version, ", this rank is ", tool::version_text());
  }
  if (root_start != start) {
    fail("rank 0 was started with ", root_start, ", this rank with ", start);
  }
  if (const std::string differences = rank_differences(root, config); !differences.empty()) {
    fail("its config is not that of rank 0:\n", differences);
  }
  group.sum(torch::zeros({1}));  // nobody goes on before all have agreed
}

void check_same(RankGroup& group, const std::string& what, const std::string& checksum) {
  const std::string root = group.broadcast(checksum);
  if (root != checksum)
    fail("it has other ", what, " than rank 0: checksum ", checksum, ", rank 0 has ", root);
  group.sum(torch::zeros({1}));
}

SharedTokenizer::SharedTokenizer(RankGroup& group, TrainConfig& config) {
  if (!config.model.is_transformer() || !config.from.empty() || !config.tokenizer.path.empty()) return;
  const std::string bytes = group.broadcast(
      group.is_root() ? std::string(MappedFile(config.output_dir + "/tokenizer.model").text()) : "");
  if (group.is_root()) return;
  path_ = cat(std::filesystem::temp_directory_path().string(), "/rotor-", getpid(), "-tokenizer.model");
  write_file(path_, bytes);
  config.tokenizer.path = path_;
}

SharedTokenizer::~SharedTokenizer() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove(path_, ignored);
}

}  // namespace rotor::train
