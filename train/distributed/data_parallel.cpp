// Shares are equal ranges of the flat parameters, wherever these begin and end: optimizers compute element by
// element, so a piece of a matrix steps as well as a whole one, and shares differ by one element at most.
#include "train/distributed/data_parallel.h"

#include "rotor/core/error.h"
#include "train/trainer/optimizer.h"
#include "train/trainer/optimizer_state.h"

namespace rotor::train {
namespace {

constexpr double kBytesPerMb = 1e6;

}  // namespace

DataParallel::DataParallel(torch::nn::Module& module, RankGroup& group, const TrainConfig& config)
    : module_(module),
      group_(group),
      config_(config.optimizer),
      parameters_(module),
      buckets_(parameters_, group, static_cast<int64_t>(config.distributed.bucket_mb * kBytesPerMb)) {
  const torch::NoGradGuard no_grad;
  std::vector<OptimizedTensor> tensors;
  const auto& entries = parameters_.entries();
  for (size_t i = 0; i < entries.size(); ++i) {
    const auto range = FlatParameters::common(entries[i], range_of(group_.rank()));
    if (!range) continue;
    const int64_t count = range->second - range->first;
    // detach() makes leaves of the views, with a state of their own.
    pieces_.push_back({i, range->first - entries[i].first,
                       parameters_.values().narrow(0, range->first, count).detach(),
                       parameters_.gradients().narrow(0, range->first, count).detach()});
    tensors.push_back({pieces_.back().values, is_decayed(entries[i].name, entries[i].parameter)});
  }
  optimizer_ = make_optimizer(tensors, config.optimizer);
}

std::pair<int64_t, int64_t> DataParallel::range_of(int64_t rank) const {
  return RankShare{rank, group_.size()}.of(parameters_.size());
}

const DataParallel::Piece* DataParallel::piece_of(size_t entry) const {
  for (const Piece& piece : pieces_) {
    if (piece.entry == entry) return &piece;
  }
  return nullptr;
}

void DataParallel::broadcast_parameters() {
  const torch::NoGradGuard no_grad;
  group_.broadcast(parameters_.values(), 0);
  for (const torch::Tensor& parameter : module_.parameters()) {
    if (!parameter.requires_grad()) group_.broadcast(parameter, 0);
    parameter.unsafeGetTensorImpl()->bump_version();  // layers keep codes of what they have seen
  }
}

void DataParallel::finish_backward() {
  buckets_.finish();
  torch::Tensor touched = buckets_.touched().clone();
  group_.sum(touched);
  const auto& entries = parameters_.entries();
  for (size_t i = 0; i < entries.size(); ++i) {
    torch::Tensor parameter = entries[i].parameter;
    if (touched.data_ptr<double>()[i] == 0) parameter.mutable_grad() = torch::Tensor();
  }
}

void DataParallel::sum(std::vector<double>& figures) {
  group_.sum(torch::from_blob(figures.data(), {static_cast<int64_t>(figures.size())}, torch::kFloat64));
}

void DataParallel::step() {
  const torch::NoGradGuard no_grad;
  for (Piece& piece : pieces_) {
    const bool has_gradient = parameters_.entries()[piece.entry].parameter.grad().defined();
    piece.values.mutable_grad() = has_gradient ? piece.gradient : torch::Tensor();
  }
  optimizer_->step();
  std::vector<std::function<void()>> waits;
  for (int64_t rank = 0; rank < group_.size(); ++rank) {
    const auto [first, end] = range_of(rank);
    if (end > first) {
      waits.push_back(group_.begin_broadcast(parameters_.values().narrow(0, first, end - first), rank));
    }
  }
  for (const auto& wait : waits) wait();
  for (const FlatParameters::Entry& entry : parameters_.entries()) {
    entry.parameter.unsafeGetTensorImpl()->bump_version();
  }
}

torch::Tensor DataParallel::gather_state(size_t entry, size_t index) {
  const FlatParameters::Entry& whole = parameters_.entries()[entry];
  const Piece* own = piece_of(entry);
  torch::Tensor own_state;
  if (own != nullptr) own_state = state_tensors(*optimizer_, config_.kind, own->values)[index].contiguous();
  if (!group_.is_root()) {
    if (own != nullptr) group_.send(own_state, 0);
    return {};
  }
  torch::Tensor state = torch::empty({whole.count}, torch::kFloat32);
  for (int64_t rank = 0; rank < group_.size(); ++rank) {
    const auto range = FlatParameters::common(whole, range_of(rank));
    if (!range) continue;
    const torch::Tensor place = state.narrow(0, range->first - whole.first, range->second - range->first);
    if (rank == 0) {
      place.copy_(own_state);
    } else {
      group_.receive(place, rank);
    }
  }
  return state.view(whole.parameter.sizes());
}

void DataParallel::save_optimizer(int64_t step, const std::string& path) {
  const auto& entries = parameters_.entries();
  // By entry: whether its owners have a state.
  torch::Tensor present = torch::zeros({static_cast<int64_t>(entries.size())}, torch::kFloat64);
  for (const Piece& piece : pieces_) {
    if (!state_tensors(*optimizer_, config_.kind, piece.values).empty()) {
      present.data_ptr<double>()[piece.entry] = 1;
    }
  }
  group_.sum(present);
  std::vector<StateTensor> tensors;
  // The order of files is that of the module; entries have the opposite one.
  for (size_t i = entries.size(); i-- > 0;) {
    if (present.data_ptr<double>()[i] == 0) continue;
    const auto names = state_names(config_);
    for (size_t index = 0; index < names.size(); ++index) {
      tensors.push_back({cat(names[index], ".", entries[i].name), entries[i].parameter.sizes().vec(),
                         [this, i, index] { return gather_state(i, index); }});
    }
  }
  if (group_.is_root()) return write_state_file(path, step, tensors);
  for (const StateTensor& tensor : tensors) tensor.read();
}

void DataParallel::load_optimizer(int64_t step, const std::string& path) {
  const auto& entries = parameters_.entries();
  std::unique_ptr<StateFile> file;
  if (group_.is_root()) file = std::make_unique<StateFile>(path, step);
  const auto names = state_names(config_);
  size_t num_tensors = 0;
  for (size_t i = entries.size(); i-- > 0;) {
    if (step == 0) break;
    const Piece* own = piece_of(i);
    std::vector<torch::Tensor> states;
    for (const std::string& name : names) {
      torch::Tensor whole =
          file ? file->read(cat(name, ".", entries[i].name), entries[i].parameter.sizes().vec())
               : torch::empty(entries[i].parameter.sizes(), torch::kFloat32);
      group_.broadcast(whole, 0);
      ++num_tensors;
      if (own == nullptr) continue;
      states.push_back(
          whole.view({-1}).narrow(0, own->first, own->values.numel()).clone().to(own->values.device()));
    }
    if (own != nullptr && !names.empty()) set_state(*optimizer_, config_.kind, own->values, step, states);
  }
  if (file) file->expect_tensors(num_tensors);
}

}  // namespace rotor::train
