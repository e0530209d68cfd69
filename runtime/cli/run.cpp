// rotor run: text from a language model, as it comes.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <limits>
#include <memory>
#include <optional>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/tool/interrupt.h"
#include "rotor/tool/progress.h"
#include "runtime/cli/commands.h"
#include "runtime/cli/constraint_options.h"
#include "runtime/cli/model_options.h"
#include "runtime/cli/prompt.h"
#include "runtime/cli/sampling_options.h"

namespace rotor::runtime::cli {
namespace {

constexpr const char* kRunExamples =
    "  rotor run model.rotor -p \"The capital of France is\" -n 32\n"
    "  rotor run model.rotor -f story.txt --temp 0.6 --top-p 0.9 --stop \"THE END\" -s 1\n"
    "  rotor run model.rotor --tokens \"1 15043 3186\" -n 8 --temp 0       ids in; text out, or ids if the "
    "model\n"
    "                                                                   has no tokenizer\n"
    "  rotor run model.rotor -p Hello -n 16 --json --kv q8 -t 2\n"
    "  rotor run model.rotor -p \"As JSON: \" --json-schema person.json     JSON that a schema allows\n"
    "  rotor run model.rotor -p \"Yes or no? \" --grammar answer.gbnf       text of a grammar\n";

bool write_now(std::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
}

/// Tokens that the cache must hold: no more than can be used, for small machines.
int64_t needed_context(const cxxopts::ParseResult& parsed, const LanguageModel& model, int64_t max_new_tokens,
                       Prompt& prompt) {
  const int64_t longest = model.config().max_position_embeddings;
  int64_t limit = longest;
  if (parsed.count("ctx-size") != 0) {
    limit = parsed["ctx-size"].as<int64_t>();
    if (limit < 1 || limit > longest) {
      fail("--ctx-size: expected 1 to ", longest, " (max_position_embeddings of the model), found ", limit);
    }
  }
  fit_prompt(parsed, model, limit, max_new_tokens, prompt);
  const auto size = static_cast<int64_t>(prompt.ids.size());
  return max_new_tokens < 0 || max_new_tokens > limit - size ? limit : size + max_new_tokens;
}

void print_json(const LanguageModel& model, const GenerateResult& result, uint64_t seed) {
  Json json = {{"ids", result.ids},
               {"stop_reason", name(result.stop_reason)},
               {"prompt_tokens", result.prompt_tokens},
               {"generated_tokens", result.ids.size()},
               {"prompt_tokens_per_second", result.prompt_tokens_per_second()},
               {"decode_tokens_per_second", result.decode_tokens_per_second()},
               {"seed", seed}};
  json.update(backend_json(model));
  if (model.tokenizer() != nullptr) json["text"] = result.text;
  std::printf("%s\n", dump_json(json, 2).c_str());
}

void print_statistics(const GenerateResult& result, const SamplerOptions& sampling) {
  const std::string seed = sampling.temperature > 0 ? cat(", seed ", sampling.seed) : "";
  std::fprintf(stderr, "prompt %s, %.1f tokens/s; generated %s, %.1f tokens/s; end: %s%s\n",
               tool::count_text(result.prompt_tokens, "token").c_str(), result.prompt_tokens_per_second(),
               tool::count_text(static_cast<int64_t>(result.ids.size()), "token").c_str(),
               result.decode_tokens_per_second(), name(result.stop_reason), seed.c_str());
}

}  // namespace

int run(int argc, char** argv) {
  cxxopts::Options options(
      "rotor run", "Goes on from a prompt and prints the new text as it comes; statistics go to stderr.");
  add_model_options(options, "f16");
  add_head_screening_option(options);
  options.add_options()("n,predict",
                        "tokens to generate; -1: until the model ends the text or the context is full",
                        cxxopts::value<int64_t>()->default_value("-1"))(
      "c,ctx-size", "tokens of prompt and new text together (default: as many as the model was made for)",
      cxxopts::value<int64_t>())("r,stop", "end before this text; may be repeated",
                                 cxxopts::value<std::vector<std::string>>())(
      "ignore-eos", "go on where the model would end the text")("echo", "print the prompt first")(
      "json", "print JSON");
  add_prompt_options(options);
  add_sampling_options(options);
  add_constraint_options(options);
  const auto parsed = parse_model_options(options, argc, argv, {"model"}, kRunExamples);
  if (!parsed) return 0;
  std::signal(SIGPIPE, SIG_DFL);  // whoever reads has enough: end without a word
  const ModelOptions model_options = read_model_options(*parsed);
  SamplerOptions sampling = read_sampling_options(*parsed);
  GenerateOptions generation;
  generation.max_new_tokens = (*parsed)["predict"].as<int64_t>();
  if (generation.max_new_tokens < -1) {
    fail("--predict: expected -1 (no limit), 0 or more, found ", generation.max_new_tokens);
  }
  if (parsed->count("stop") != 0) generation.stop_strings = (*parsed)["stop"].as<std::vector<std::string>>();
  const bool as_json = parsed->count("json") != 0;

  const LanguageModel model(model_options.path, model_options.model);
  if (!generation.stop_strings.empty()) need_tokenizer(model, "--stop cannot be used");
  Prompt prompt = read_prompt(*parsed, model);
  generation.continues_text = prompt.continues_text;
  SessionOptions session_options = model_options.session;
  session_options.context = needed_context(*parsed, model, generation.max_new_tokens, prompt);
  if (parsed->count("ignore-eos") != 0) {
    for (const text::TokenId id : model.stop_tokens()) {
      if (id < model.vocab_size()) sampling.logit_bias[id] = -std::numeric_limits<float>::infinity();
    }
  } else {
    generation.stop_tokens = model.stop_tokens();
  }
  Sampler sampler(sampling, model.vocab_size());
  const std::shared_ptr<TokenConstraint> constraint = ConstraintOptions(*parsed, model).make();
  if (constraint && parsed->count("ignore-eos") != 0) {
    fail("--ignore-eos: expected no --grammar or --json-schema beside it: nothing could end the text");
  }
  sampler.set_constraint(constraint);
  // A grammar counts on all bytes of a token; the leading space of a text that SentencePiece drops is one.
  if (constraint) generation.continues_text = true;
  Session session = model.make_session(session_options);
  tool::catch_interrupts();
  say_backend(model);

  const auto prompt_size = static_cast<int64_t>(prompt.ids.size());
  generation.prompt_batch = session_options.batch;
  std::optional<tool::Progress> progress;
  if (prompt_size > generation.prompt_batch) progress.emplace("prompt", prompt_size);
  generation.on_prompt = [&](int64_t done) {
    if (progress) progress->update(done, cat(done, "/", prompt_size, " tokens"));
    if (done == prompt_size) progress.reset();
    return !tool::interrupted();
  };
  bool at_line_start = true;
  const auto write = [&](std::string_view text) {
    if (!text.empty()) at_line_start = text.back() == '\n';
    return write_now(text);
  };
  generation.on_token = [&](text::TokenId id) {
    if (model.tokenizer() != nullptr || as_json) return !tool::interrupted();
    return write(cat(at_line_start ? "" : " ", id)) && !tool::interrupted();
  };
  if (!as_json) generation.on_text = write;
  if (!as_json && parsed->count("echo") != 0) write(prompt.text);
  const GenerateResult result =
      generate(feed_of(session), prompt.ids, sampler, model.tokenizer(), generation);
  progress.reset();
  model.file().check_intact();
  if (as_json) {
    print_json(model, result, sampling.seed);
  } else if (!at_line_start) {
    write("\n");
  }
  print_statistics(result, sampling);
  return tool::interrupted() ? tool::kInterruptedStatus : 0;
}

}  // namespace rotor::runtime::cli
