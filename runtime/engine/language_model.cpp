// Where a file's metadata, its config and its tokenizer meet, and what a session looks like to the loops.
#include "runtime/engine/language_model.h"

#include <algorithm>
#include <cstdio>

#include "rotor/core/error.h"
#include "rotor/formats/base_fingerprint.h"
#include "rotor/formats/peft_adapter.h"
#include "rotor/text/model_text.h"

namespace rotor::runtime {
namespace {

RotorFile open_file(const std::string& path, const LanguageModelOptions& options) {
  RotorFile file(path, options.memory);
  if (options.check) file.check();
  return file;
}

/// The CPU is there from the start, so that going on without a device cannot fail for want of threads.
Backends make_backends(const LanguageModelOptions& options) {
  Backends backends;
  backends.device = make_backend(options.backend, options.threads, options.pin, options.device);
  if (backends.device->name() != "cpu") {
    backends.cpu = make_backend("cpu", options.threads, options.pin);
  }
  return backends;
}

void warn_on_stderr(const std::string& message) {
  std::fprintf(stderr, "warning: %s\n", message.c_str());
}

}  // namespace

LanguageModel::LanguageModel(const std::string& path, const LanguageModelOptions& options)
    : LanguageModel(path, Backends{}, options) {}

LanguageModel::LanguageModel(const std::string& path, Backends backends, const LanguageModelOptions& options)
    : file_(open_file(path, options)),
      backends_(backends.device == nullptr ? make_backends(options) : std::move(backends)),
      placement_options_(options.placement),
      warn_(options.warn ? options.warn : warn_on_stderr),
      transformer_(file_, options.float_activations),
      tokenizer_(text::tokenizer_of(file_)),
      any_base_(options.any_base) {
  const int64_t vocab_size = config().vocab_size;
  if (tokenizer_ != nullptr && tokenizer_->vocab_size() > vocab_size) {
    fail(path, ": tokenizer: expected at most ", vocab_size, " tokens (vocab_size of the model), found ",
         tokenizer_->vocab_size());
  }
  const TextMetadata text = file_.text();
  const auto is_token = [&](int64_t id) { return id >= 0 && id < vocab_size; };
  // Not the tokenizer's: a model begins texts as it was trained to, and may never have seen that token.
  const std::optional<int64_t> bos =
      text.bos_token ? std::optional<int64_t>(*text.bos_token) : config().bos_token_id;
  if (bos && is_token(*bos)) bos_ = static_cast<text::TokenId>(*bos);
  stop_tokens_ = text.stop_tokens;
  for (const int64_t id : config().eos_token_ids) stop_tokens_.push_back(static_cast<text::TokenId>(id));
  if (tokenizer_ != nullptr && tokenizer_->eos()) stop_tokens_.push_back(*tokenizer_->eos());
  std::erase_if(stop_tokens_, [&](text::TokenId id) { return !is_token(id); });
  std::ranges::sort(stop_tokens_);
  stop_tokens_.erase(std::ranges::unique(stop_tokens_).begin(), stop_tokens_.end());
  for (const auto& [directory, weight] : options.adapters) {
    adapters_.push_back({load_adapter(directory), weight});
    transformer_.check_adapter(adapters_.back());
    adapter_directories_.push_back(directory);
  }
}

int64_t LanguageModel::vocab_size() const {
  return tokenizer_ != nullptr ? tokenizer_->vocab_size() : config().vocab_size;
}

std::shared_ptr<Placement> LanguageModel::decide(const SessionOptions& options) const {
  Backend& device = *backends_.device;
  const auto [gpu_layers, gpu_memory] = placement_options_;
  if (backends_.cpu == nullptr) {
    if (gpu_layers > 0) warn_(cat("--gpu-layers: no layers go to a device: the backend is ", device.name()));
    return std::make_shared<Placement>(transformer_, device);
  }
  std::optional<uint64_t> room = gpu_memory;
  try {
    if (const auto free = device.free_memory(); free && !room) room = *free - *free / 10;
  } catch (const DeviceLost& error) {
    auto placement = std::make_shared<Placement>(transformer_, device, *backends_.cpu, Split{}, warn_);
    placement->lose(error);
    return placement;
  }
  const MemoryNeed need = memory_need(transformer_, stage_options(transformer_, options), options.adapters);
  return std::make_shared<Placement>(transformer_, device, *backends_.cpu,
                                     choose_split(need, gpu_layers, room), warn_);
}

std::shared_ptr<Placement> LanguageModel::place(const SessionOptions& options) const {
  const std::lock_guard lock(mutex_);
  if (placement_ != nullptr) return placement_;
  SessionOptions with_adapters = options;
  if (options.adapters.empty()) with_adapters.adapters = adapters_;
  placement_ = decide(with_adapters);
  for (const auto& adapter : loaded_) placement_->keep(*adapter);
  return placement_;
}

std::shared_ptr<const Adapter> LanguageModel::load_adapter(const std::string& directory) const {
  const PeftAdapter files(directory);
  files.check_shapes(transformer_.config(), file_.path());
  if (!any_base_ && !files.config().base_fingerprint.empty()) {
    files.check_fingerprint(base_fingerprint(file_), file_.path());
  }
  auto adapter = std::make_shared<const Adapter>(files, transformer_.config(), file_.path());
  const std::lock_guard lock(mutex_);
  loaded_.push_back(adapter);
  if (placement_ != nullptr) placement_->keep(*adapter);
  return adapter;
}

std::optional<text::ChatTemplate> LanguageModel::chat_template() const {
  text::ModelText text = text::model_text(file_);
  for (const std::string& directory : adapter_directories_) {
    const auto learnt = text::adapter_text(directory).metadata.chat_template;
    if (!learnt) continue;
    text.replace_chat_template(*learnt);
    return text::chat_template(text, directory);
  }
  return text::chat_template(text, file_.path());
}

std::shared_ptr<const Placement> LanguageModel::placement() const {
  const std::lock_guard lock(mutex_);
  return placement_;
}

Backend& LanguageModel::backend() const {
  const auto placed = placement();
  return placed == nullptr ? *backends_.device : placed->backend();
}

Session LanguageModel::make_session(const SessionOptions& options) const {
  SessionOptions with_adapters = options;
  if (options.adapters.empty()) with_adapters.adapters = adapters_;
  return {transformer_, place(with_adapters), with_adapters};
}

TokenFeed feed_of(Session& session) {
  return {.feed = [&session](std::span<const text::TokenId> tokens,
                             const WantedLogits& wanted) { return session.feed(tokens, wanted); },
          .room = session.context() - session.position()};
}

ComputeChunk chunks_of(Session& session, int64_t batch, const std::function<bool()>& keep_going,
                       std::span<ScreeningCheck> checks) {
  return [&session, batch, &keep_going, checks](std::span<const text::TokenId> tokens, int64_t first,
                                                const OnLogits& on_logits) {
    session.rewind(0);
    const auto size = static_cast<int64_t>(tokens.size());
    for (int64_t done = 0; done < size;) {
      if (!keep_going()) return false;
      const int64_t end = done < first ? std::min(first, done + batch) : std::min(size, done + batch);
      const auto part = tokens.subspan(static_cast<size_t>(done), static_cast<size_t>(end - done));
      if (done < first) {
        session.feed(part);
      } else {
        const auto on_part = [&](int64_t index, std::span<const float> logits) {
          on_logits(done + index, logits);
        };
        if (checks.empty()) {
          session.feed_all(part, on_part);
        } else {
          session.check_screening(part, checks, on_part);
        }
      }
      done = end;
    }
    return true;
  };
}

}  // namespace rotor::runtime
