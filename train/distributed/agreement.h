// What ranks agree on before they train: the same config, the same data, the same tokenizer. Two ranks that
// differ in one of them would train nonsense without ever failing.
#pragma once

#include <string>

#include "train/config/train_config.h"
#include "train/distributed/rank_group.h"

namespace rotor::train {

/// Throws Error naming the keys if this rank's config is not that of rank 0 (rank_differences), or if it
/// was started otherwise (`start`: "--resume" and the like).
void check_same_config(RankGroup& group, const TrainConfig& config, const std::string& start);

/// Throws Error unless this rank has `what` ("training data") of the same checksum as rank 0.
void check_same(RankGroup& group, const std::string& what, const std::string& checksum);

/// A copy of the tokenizer that rank 0 trained, for a rank that may not see the folder of rank 0; removed
/// with this object.
class SharedTokenizer {
 public:
  /// If neither model.from nor tokenizer.path says where there is one, sets it on ranks but 0. Rank 0 has its
  /// tokenizer in config.output_dir.
  SharedTokenizer(RankGroup& group, TrainConfig& config);
  ~SharedTokenizer();
  SharedTokenizer(const SharedTokenizer&) = delete;
  SharedTokenizer& operator=(const SharedTokenizer&) = delete;

 private:
  std::string path_;
};

}  // namespace rotor::train
