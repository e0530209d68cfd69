// Interleaved measurements: what else the machine does falls on all of them.
#include "runtime/engine/benchmark.h"

#include <algorithm>
#include <chrono>
#include <fstream>

#include "rotor/core/error.h"
#include "runtime/engine/texts_together.h"

namespace rotor::runtime {
namespace {

constexpr const char* kEnergyFile = "/sys/class/powercap/intel-rapl:0/energy_uj";

double seconds_of(const auto& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// The processor's energy counter in joules; nothing where the kernel hides it.
std::optional<double> energy() {
  std::ifstream file(kEnergyFile);
  double microjoules = 0;
  if (!(file >> microjoules)) return std::nullopt;
  return microjoules * 1e-6;
}

std::vector<text::TokenId> some_tokens(int64_t count, int64_t vocab_size) {
  std::vector<text::TokenId> ids(static_cast<size_t>(count));
  for (size_t i = 0; i < ids.size(); ++i) {
    ids[i] = static_cast<text::TokenId>((i * 7919 + 13) % static_cast<size_t>(vocab_size));
  }
  return ids;
}

void add_difference(const HeadScreening::Statistics& now, const HeadScreening::Statistics& before,
                    HeadScreening::Statistics& sum) {
  sum.tokens += now.tokens - before.tokens;
  sum.attempts += now.attempts - before.attempts;
  sum.rows += now.rows - before.rows;
}

/// Bytes of the head that screening saved per token, less those of the copy that it read: planes, and two
/// floats a row and a column.
int64_t unread_head_bytes(const LanguageModel& model, const HeadScreening::Statistics& head) {
  if (head.attempts == 0) return 0;
  const TransformerConfig& t = model.config();
  const int64_t row_bytes = t.hidden_size + static_cast<int64_t>(sizeof(float));  // codes and a scale
  const auto copy = static_cast<int64_t>(model.file().head_screen().planes.tiles.size()) +
                    2 * static_cast<int64_t>(sizeof(float)) * (t.vocab_size + t.hidden_size);
  return ((head.tokens * t.vocab_size - head.rows) * row_bytes - head.attempts * copy) / head.tokens;
}

}  // namespace

double Sample::median() const {
  if (values.empty()) return 0.0;
  std::vector<double> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  return sorted[sorted.size() / 2];
}

double Sample::spread() const {
  if (values.size() < 2) return 0.0;
  std::vector<double> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  return (sorted[sorted.size() * 3 / 4] - sorted[sorted.size() / 4]) / 2 / median();
}

Sample BenchmarkResult::bandwidth_share() const {
  Sample share;
  const size_t count = std::min(decode_tokens_per_second.values.size(), read_bandwidth.values.size());
  for (size_t i = 0; i < count; ++i) {
    share.values.push_back(static_cast<double>(bytes_per_token) * decode_tokens_per_second.values[i] /
                           read_bandwidth.values[i]);
  }
  return share;
}

int64_t weight_bytes_per_token(const RotorFile& file) {
  const ModelConfig& config = file.config();
  const std::string embedding = "model.embed_tokens.weight";
  const bool tied = config.transformer.tie_word_embeddings;
  int64_t bytes = 0;
  for (const TensorDeclaration& tensor : rotor_tensors(config, file.dense_format().type)) {
    if (tensor.name.starts_with(kPaddingPrefix)) continue;
    if (!tied && tensor.name.starts_with(embedding)) continue;
    bytes += static_cast<int64_t>(tensor.bytes());
  }
  return bytes;
}

SessionOptions session_options(const BenchmarkOptions& options) {
  SessionOptions session = options.session;
  session.context = std::max({options.prompt_tokens, options.depth + options.decode_tokens, int64_t{1}});
  return options.batch > 1 ? TextsTogether::with_pages(session, options.batch) : session;
}

BenchmarkResult run_benchmark(const LanguageModel& model, const BenchmarkOptions& options) {
  const int64_t longest = session_options(options).context;
  Session session = model.make_session(session_options(options));
  std::optional<TextsTogether> together;
  if (options.batch > 1) together.emplace(model, session_options(options), options.batch);
  const auto prompt = some_tokens(std::max<int64_t>(options.prompt_tokens, 1), model.config().vocab_size);
  const auto tokens_of_text = static_cast<size_t>(options.decode_tokens);
  const auto ids = some_tokens(longest, model.config().vocab_size);

  BenchmarkResult result;
  const TransformerConfig& t = model.config();
  const int64_t kv_bytes =
      2 * t.num_hidden_layers * t.key_value_size() * static_cast<int64_t>(dense_bytes(options.session.kv));
  const WantedLogits wanted{options.top_k < t.vocab_size ? options.top_k : 0, {}, t.vocab_size};
  HeadScreening::Statistics head;
  double joules = 0;
  bool energy_known = energy().has_value();
  const auto go_on = [&](int64_t step) {
    return !options.keep_going || options.keep_going(step, options.repetitions + 1);
  };
  // Repetition 0 is the warm-up: pages are mapped, clocks rise.
  for (int64_t repetition = 0; repetition <= options.repetitions; ++repetition) {
    if (!go_on(repetition)) break;
    const auto keep = [&](Sample& sample, double value) {
      if (repetition > 0) sample.values.push_back(value);
    };
    if (options.measure_bandwidth) keep(result.read_bandwidth, model.backend().measure_read_bandwidth());
    if (options.prompt_tokens > 0) {
      session.rewind(0);
      const double seconds = seconds_of([&] { session.feed(prompt); });
      keep(result.first_token_seconds, seconds);
      keep(result.prompt_tokens_per_second, static_cast<double>(options.prompt_tokens) / seconds);
    }
    if (options.decode_tokens > 0) {
      session.rewind(0);
      const auto cached = std::span(ids).first(static_cast<size_t>(options.depth));
      if (together) {
        together->begin(cached);
      } else if (!cached.empty()) {
        session.feed(cached);
      }
      const std::optional<double> before = energy();
      const HeadScreening::Statistics head_before = session.head_statistics();
      const Launches launches_before = model.device().launches();
      const double seconds = seconds_of([&] {
        for (const text::TokenId& id : std::span(ids).subspan(cached.size(), tokens_of_text)) {
          if (together) {
            together->decode(id);
          } else {
            session.feed({&id, 1}, wanted);
          }
        }
      });
      if (repetition > 0) add_difference(session.head_statistics(), head_before, head);
      const std::optional<double> after = energy();
      const Launches launches = model.device().launches();
      const auto tokens = static_cast<double>(options.batch * options.decode_tokens);
      result.submissions_per_token =
          static_cast<double>(launches.submissions - launches_before.submissions) / tokens;
      result.launches_per_token = static_cast<double>(launches.commands - launches_before.commands) / tokens;
      keep(result.decode_tokens_per_second, tokens / seconds);
      energy_known = energy_known && before && after && *after >= *before;  // the counter wraps
      if (energy_known && repetition > 0) joules += *after - *before;
    }
  }
  if (model.placement()->lost()) fail(model.device().name(), ": the device was lost: nothing was measured");
  const auto decoded = static_cast<double>(result.decode_tokens_per_second.values.size()) *
                       static_cast<double>(options.batch * options.decode_tokens);
  if (energy_known && decoded > 0) result.joule_per_token = joules / decoded;
  const int64_t cached_bytes = kv_bytes * (options.depth + options.decode_tokens / 2);
  result.bytes_per_token =
      weight_bytes_per_token(model.file()) - unread_head_bytes(model, head) + cached_bytes;
  for (const ActiveAdapter& active : session.adapters()) {
    result.bytes_per_token += static_cast<int64_t>(active.adapter->bytes());
  }
  if (options.batch > 1)
    result.bytes_per_token = cached_bytes + (result.bytes_per_token - cached_bytes) / options.batch;
  if (head.tokens > 0) {
    result.head_share = static_cast<double>(head.rows) / static_cast<double>(head.tokens * t.vocab_size);
  }
  return result;
}

}  // namespace rotor::runtime
