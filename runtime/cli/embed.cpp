// rotor embed: a vector of numbers for each text, of a sentence encoder or a language model.
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <iterator>
#include <memory>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/tool/interrupt.h"
#include "rotor/tool/progress.h"
#include "runtime/cli/commands.h"
#include "runtime/cli/jsonl_texts.h"
#include "runtime/cli/model_options.h"
#include "runtime/engine/embedding_model.h"
#include "runtime/engine/language_embeddings.h"

namespace rotor::runtime::cli {
namespace {

constexpr const char* kEmbedExamples =
    "  rotor embed minilm.rotor \"a cat sat on a mat\"              an array of 384 numbers\n"
    "  rotor embed minilm.rotor \"a cat\" \"a dog\" \"a tax form\"      an array a line\n"
    "  rotor embed minilm.rotor --jsonl passages.jsonl > vectors.jsonl\n"
    "  rotor embed minilm.rotor --jsonl passages.jsonl --json      one object: embeddings, tokens, speed\n"
    "  rotor embed model.rotor \"a cat\"                             the mean of a language model's hidden "
    "states\n"
    "  rotor embed minilm.rotor < letter.txt\n";

constexpr size_t kTextsAtOnce = 64;  // results of so many are kept before they are written

/// What computes vectors, and what is said of it.
struct Embedder {
  using Embed = std::function<std::vector<float>(std::span<const std::string> texts,
                                                 const EmbeddingModel::KeepGoing& keep_going,
                                                 std::vector<EmbeddedText>* details, size_t first_number)>;
  Embed embed;
  int64_t dimensions = 0;
  int64_t max_tokens = 0;
  Json facts;  // of --json
};

/// Flags of language models that an encoder, which runs on the CPU as it is, would ignore in silence.
void refuse_language_options(const cxxopts::ParseResult& parsed) {
  for (const char* option : {"pin", "device", "gpu-layers", "gpu-memory", "kv", "activations", "batch-size",
                             "no-mmap", "mlock", "adapter", "any-base"}) {
    if (parsed.count(option) != 0)
      throw tool::UsageError(cat("--", option, " has no meaning for a sentence encoder"));
  }
  const char* forced = std::getenv("ROTOR_BACKEND");
  const bool is_option = parsed.count("backend") != 0;
  const std::string backend = is_option           ? parsed["backend"].as<std::string>()
                              : forced != nullptr ? forced
                                                  : "";
  if (!backend.empty() && backend != "auto" && backend != "cpu") {
    throw tool::UsageError(cat(is_option ? "--backend" : "ROTOR_BACKEND",
                               ": expected cpu or auto for a sentence encoder, found \"", backend, "\""));
  }
}

Embedder open_encoder(const cxxopts::ParseResult& parsed, const ModelOptions& options) {
  refuse_language_options(parsed);
  const auto model = std::make_shared<EmbeddingModel>(
      options.path, EmbeddingModelOptions{.threads = options.model.threads, .check = options.model.check});
  std::fprintf(stderr, "backend cpu, kernels %s, %s\n", model->kernels().c_str(),
               tool::count_text(model->threads(), "thread").c_str());
  return {[model](auto texts, const auto& keep_going, auto* details, size_t) {
            return model->embed(texts, keep_going, details);
          },
          model->dimensions(),
          model->max_tokens(),
          {{"id", model->id()}, {"kernels", model->kernels()}, {"threads", model->threads()}}};
}

Embedder open_language_model(const ModelOptions& options) {
  const auto model = std::make_shared<LanguageModel>(options.path, options.model);
  need_tokenizer(*model, "texts cannot be embedded");
  return {[model, session = options.session](auto texts, const auto& keep_going, auto* details,
                                             size_t first_number) {
            return embed_by_language_model(*model, session, texts, keep_going, details, first_number);
          },
          model->config().hidden_size,
          model->config().max_position_embeddings,
          {{"backend", model->backend().name()},
           {"kernels", model->backend().kernels()},
           {"threads", model->backend().threads()}}};
}

std::vector<std::string> read_texts(const cxxopts::ParseResult& parsed) {
  std::vector<std::string> texts;
  if (parsed.count("text") != 0) texts = parsed["text"].as<std::vector<std::string>>();
  if (parsed.count("jsonl") != 0) {
    if (!texts.empty()) throw tool::UsageError("expected texts or --jsonl, found both");
    for_each_jsonl_text(parsed["jsonl"].as<std::string>(),
                        [&](std::string text) { texts.push_back(std::move(text)); });
  } else if (texts.empty()) {
    texts.emplace_back(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
  }
  return texts;
}

/// The shortest text that gives each number back.
std::string array_text(std::span<const float> values) {
  std::string text = "[";
  for (const float value : values) {
    std::array<char, 32> digits{};
    const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
    if (text.size() > 1) text += ',';
    text.append(digits.data(), error == std::errc() ? end : digits.data());
  }
  return text + ']';
}

/// All texts, some at a time. Returns what became of those that are done.
std::vector<EmbeddedText> embed_all(const Embedder& embedder, std::span<const std::string> texts,
                                    tool::Progress& progress,
                                    const std::function<void(std::span<const float> vector)>& on_vector) {
  std::vector<EmbeddedText> all;
  const auto width = static_cast<size_t>(embedder.dimensions);
  while (all.size() < texts.size() && !tool::interrupted()) {
    const auto keep_going = [&](int64_t done) {
      const int64_t so_far = std::ssize(all) + done;
      progress.update(so_far, cat(so_far, "/", texts.size(), " texts, ",
                                  tool::duration_text(progress.remaining_seconds(so_far)), " left"));
      return !tool::interrupted();
    };
    const auto part = texts.subspan(all.size(), std::min(kTextsAtOnce, texts.size() - all.size()));
    std::vector<EmbeddedText> details;
    const std::vector<float> vectors = embedder.embed(part, keep_going, &details, all.size() + 1);
    for (size_t i = 0; i < details.size(); ++i) on_vector(std::span(vectors).subspan(i * width, width));
    all.insert(all.end(), details.begin(), details.end());
  }
  return all;
}

void print_json(const Embedder& embedder, const std::string& path, const std::vector<EmbeddedText>& texts,
                double seconds, const std::string& arrays) {
  Json json = embedder.facts;
  json["model"] = path;
  json["dimensions"] = embedder.dimensions;
  json["max_tokens"] = embedder.max_tokens;
  json["texts_per_second"] = seconds > 0 ? static_cast<double>(texts.size()) / seconds : 0.0;
  json["tokens"] = Json::array();
  json["cut"] = Json::array();
  for (const EmbeddedText& text : texts) {
    json["tokens"].push_back(text.tokens);
    json["cut"].push_back(text.cut);
  }
  std::string object = dump_json(json);
  object.pop_back();
  std::printf("%s,\"embeddings\":[%s]}\n", object.c_str(), arrays.c_str());
}

}  // namespace

int embed(int argc, char** argv) {
  cxxopts::Options options(
      "rotor embed",
      "Prints an array of numbers for each text, by which texts of like meaning are found: the vector\n"
      "of a sentence encoder (rotor-export makes one of BERT), or the mean of a language model's last\n"
      "hidden states. The texts are arguments, standard input, or the \"text\" of each line of a\n"
      "JSON-lines file.");
  add_model_options(options, "f16");
  options.add_options()("text", "texts (default: standard input)",
                        cxxopts::value<std::vector<std::string>>())(
      "jsonl", "file with a line {\"text\": ...} a text", cxxopts::value<std::string>())("json",
                                                                                         "print JSON");
  const auto parsed = parse_model_options(options, argc, argv, {"model"}, kEmbedExamples, {"text"});
  if (!parsed) return 0;
  const ModelOptions model_options = read_model_options(*parsed);
  const bool is_encoder = RotorFile(model_options.path).config().is_encoder();
  const Embedder embedder =
      is_encoder ? open_encoder(*parsed, model_options) : open_language_model(model_options);
  const std::vector<std::string> texts = read_texts(*parsed);
  const bool as_json = parsed->count("json") != 0;

  tool::catch_interrupts();
  tool::Progress progress("embed", std::ssize(texts));
  std::string arrays;
  const auto done = embed_all(embedder, texts, progress, [&](std::span<const float> vector) {
    const std::string array = array_text(vector);
    if (!as_json) {
      std::printf("%s\n", array.c_str());
    } else {
      arrays += cat(arrays.empty() ? "" : ",", array);
    }
  });
  const double seconds = progress.elapsed_seconds();
  if (as_json) print_json(embedder, model_options.path, done, seconds, arrays);
  progress.finish(tool::count_text(std::ssize(done), "text") + " in " + tool::duration_text(seconds));
  const auto cut = std::ranges::count_if(done, &EmbeddedText::cut);
  if (cut != 0) {
    std::fprintf(stderr, "note: %s longer than %lld tokens: a vector is that of the beginning\n",
                 cut == 1 ? "a text is" : cat(cut, " texts are").c_str(),
                 static_cast<long long>(embedder.max_tokens));
  }
  return tool::interrupted() ? tool::kInterruptedStatus : 0;
}

}  // namespace rotor::runtime::cli
