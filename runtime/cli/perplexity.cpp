// rotor perplexity: how well a language model predicts a text.
#include <algorithm>
#include <cstdio>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/tool/interrupt.h"
#include "rotor/tool/progress.h"
#include "runtime/cli/commands.h"
#include "runtime/cli/model_options.h"

namespace rotor::runtime::cli {
namespace {

constexpr int64_t kDefaultContext = 512;

constexpr const char* kPerplexityExamples =
    "  rotor perplexity model.rotor --file wiki.test.raw\n"
    "  rotor perplexity model.rotor --file wiki.test.raw --chunks 20 -c 256 --json\n"
    "  rotor perplexity model.rotor --file wiki.test.raw --check-screening\n";

std::string figure(const PerplexityResult& result) {
  return tool::format("%.4f +/- %.5f", result.perplexity(), result.std_error());
}

Json to_json(const ScreeningCheck& check, int64_t vocab_size) {
  return {{"top_k", check.count},
          {"tokens", check.tokens},
          {"misses", check.misses},
          {"whole_head", check.whole},
          {"head_share_read", check.share_read(vocab_size)}};
}

void print(const ScreeningCheck& check, int64_t vocab_size) {
  std::printf(
      "screening, %s: %lld misses in %lld tokens; %.2f %% of the head's rows read; %lld times the whole "
      "head\n",
      check.count == 1 ? "greedy" : cat("top ", check.count).c_str(), static_cast<long long>(check.misses),
      static_cast<long long>(check.tokens), 100 * check.share_read(vocab_size),
      static_cast<long long>(check.whole));
}

}  // namespace

int perplexity(int argc, char** argv) {
  cxxopts::Options options(
      "rotor perplexity",
      "Perplexity of a text by the protocol of llama.cpp's llama-perplexity: the second half of\n"
      "each chunk of the context's size is scored.");
  add_model_options(options, "f16");
  options.add_options()("f,file", "the text", cxxopts::value<std::string>())(
      "c,ctx-size", "tokens of a chunk (default: 512, or the model's context if that is shorter)",
      cxxopts::value<int64_t>())("chunks", "only the first N chunks; -1: all",
                                 cxxopts::value<int64_t>()->default_value("-1"))(
      "check-screening",
      "also hold the head's screening against the whole head for every scored token: greedy and --top-k")(
      "top-k", "of --check-screening", cxxopts::value<int64_t>()->default_value("40"))("json", "print JSON");
  const auto parsed = parse_model_options(options, argc, argv, {"model"}, kPerplexityExamples);
  if (!parsed) return 0;
  if (parsed->count("file") == 0) throw tool::UsageError("expected --file; see rotor perplexity --help");
  ModelOptions model_options = read_model_options(*parsed);

  const LanguageModel model(model_options.path, model_options.model);
  PerplexityOptions run;
  run.context = parsed->count("ctx-size") != 0
                    ? (*parsed)["ctx-size"].as<int64_t>()
                    : std::min(kDefaultContext, model.config().max_position_embeddings);
  run.max_chunks = (*parsed)["chunks"].as<int64_t>();
  run.bos = model.bos();
  const auto& tokenizer = need_tokenizer(model, "a text cannot be scored");
  std::vector<text::TokenId> tokens =
      tokenizer.encode(read_text_file((*parsed)["file"].as<std::string>()), text::SpecialTokens::as_text);
  if (run.bos) tokens.insert(tokens.begin(), *run.bos);
  if (run.context < 1) fail("--ctx-size: expected at least 1 token, found ", run.context);
  model_options.session.context = run.context;
  Session session = model.make_session(model_options.session);
  tool::catch_interrupts();
  say_backend(model);

  std::vector<ScreeningCheck> checks;
  if (parsed->count("check-screening") != 0) {
    const auto top_k = (*parsed)["top-k"].as<int64_t>();
    if (top_k < 1 || top_k > model.config().vocab_size) {
      fail("--top-k: expected 1 to ", model.config().vocab_size, " (vocab_size), found ", top_k);
    }
    checks = {{.count = 1}, {.count = top_k}};
  }

  std::optional<tool::Progress> progress;
  const int64_t chunks_there = static_cast<int64_t>(tokens.size()) / run.context;
  progress.emplace("perplexity", run.max_chunks > 0 ? std::min(run.max_chunks, chunks_there) : chunks_there);
  run.on_chunk = [&](const PerplexityResult& so_far, int64_t total) {
    progress->update(so_far.chunks,
                     cat("chunk ", so_far.chunks, "/", total, ", ", figure(so_far), ", ",
                         tool::duration_text(progress->remaining_seconds(so_far.chunks)), " left"));
    return !tool::interrupted();
  };
  const std::function<bool()> keep_going = [] { return !tool::interrupted(); };
  const PerplexityResult result =
      runtime::perplexity(chunks_of(session, model_options.session.batch, keep_going, checks), tokens, run);
  model.file().check_intact();
  progress->finish(cat(tool::count_text(result.chunks, "chunk"), " of ", run.context, " tokens in ",
                       tool::duration_text(progress->elapsed_seconds())));
  if (result.chunks == 0) return tool::kInterruptedStatus;

  const int64_t vocab_size = model.config().vocab_size;
  if (parsed->count("json") != 0) {
    Json json = {
        {"perplexity", result.perplexity()}, {"std_error", result.std_error()}, {"nll", result.nll()},
        {"tokens", result.tokens},           {"chunks", result.chunks},         {"context", run.context}};
    json.update(backend_json(model));
    for (const ScreeningCheck& check : checks) json["screening"].push_back(to_json(check, vocab_size));
    std::printf("%s\n", dump_json(json, 2).c_str());
  } else {
    std::printf("perplexity %s (%lld tokens scored)\n", figure(result).c_str(),
                static_cast<long long>(result.tokens));
    for (const ScreeningCheck& check : checks) print(check, vocab_size);
  }
  return tool::interrupted() ? tool::kInterruptedStatus : 0;
}

}  // namespace rotor::runtime::cli
