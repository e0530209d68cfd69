// Reading of the common flags.
#include "runtime/cli/model_options.h"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "rotor/core/error.h"
#include "rotor/tool/adapter_option.h"
#include "rotor/tool/progress.h"

namespace rotor::runtime::cli {
namespace {

int64_t read_gpu_layers(const std::string& text) {
  if (text == "auto") return PlacementOptions::kAsManyAsFit;
  if (text == "all") return PlacementOptions::kAll;
  int64_t layers = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), layers);
  if (error != std::errc() || end != text.data() + text.size() || layers < 0) {
    fail("--gpu-layers: expected a number of layers, all or auto, found \"", text, "\"");
  }
  return layers;
}

/// "vulkan (NAME)" or "cpu, kernels avx2, 2 threads".
std::string backend_text(const Backend& backend) {
  if (!backend.device().empty()) return cat(backend.name(), " (", tool::printable(backend.device()), ")");
  return cat(backend.name(), ", kernels ", backend.kernels(), ", ",
             tool::count_text(backend.threads(), "thread"));
}

}  // namespace

void add_model_options(cxxopts::Options& options, const std::string& default_kv) {
  options.add_options()("model", ".rotor file", cxxopts::value<std::string>())(
      "t,threads", "threads (default: all cores)", cxxopts::value<int64_t>())(
      "pin", "bind each thread to a core of its own: for a machine that does nothing else")(
      "backend", "backend to run on (default: the first that runs here)", cxxopts::value<std::string>())(
      "device", "the backend's device: its number, or part of its name (default: the best one)",
      cxxopts::value<std::string>()->default_value(""))(
      "gpu-layers",
      "layers on the device, also -ngl: N (the rest and the head on the CPU), all (the head, too), or auto: "
      "as "
      "many as fit into its memory",
      cxxopts::value<std::string>()->default_value("auto"))(
      "gpu-memory", "memory of the device that may be used: 800M, 4G (default: what is free, less a tenth)",
      cxxopts::value<std::string>())("kv", "keys and values in f32, f16 or q8 (int8)",
                                     cxxopts::value<std::string>()->default_value(default_kv))(
      "activations", "int8, or float: inputs of ternary layers unquantized, slow, for comparisons",
      cxxopts::value<std::string>()->default_value("int8"))(
      "b,batch-size", "tokens of a prompt computed at once", cxxopts::value<int64_t>()->default_value("128"))(
      "no-mmap", "read the model into memory of our own (huge pages): a slower start, faster afterwards")(
      "mlock", "keep the model from being paged out")("check", "verify the whole file first")(
      "adapter",
      "DIR[:WEIGHT]: a LoRA adapter (PEFT) that is added to the model, WEIGHT times (default: 1); may be "
      "repeated",
      cxxopts::value<std::vector<std::string>>())(
      "any-base", "take adapters that were made for other weights, if their shapes fit");
}

void add_head_screening_option(cxxopts::Options& options) {
  options.add_options()("head-screening",
                        "on | off | auto: read only those rows of the head that can matter, by its low-bit "
                        "copy in the file; only "
                        "where not all logits are wanted (greedy, --top-k)",
                        cxxopts::value<std::string>()->default_value("auto"));
}

std::optional<cxxopts::ParseResult> parse_model_options(cxxopts::Options& options, int argc, char** argv,
                                                        const std::vector<std::string>& required,
                                                        const std::string& examples,
                                                        const std::vector<std::string>& optional) {
  static char spelled_out[] = "--gpu-layers";
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "-ngl") == 0) argv[i] = spelled_out;
  }
  return tool::parse_options(options, argc, argv, required, examples, optional);
}

uint64_t read_size(const std::string& flag, const std::string& text) {
  double value = 0.0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  const std::string units = "KMGT";
  const size_t unit = rest == end ? 0 : units.find(*rest) + 1;  // 0, too, for one that is unknown
  const double bytes = std::ldexp(value, static_cast<int>(10 * unit));
  const bool whole = rest == end || (unit > 0 && rest + 1 == end);
  if (error != std::errc() || !whole || !(bytes >= 1.0) || bytes > 0x1p62) {
    fail(flag, ": expected a size like 800M or 4G, found \"", text, "\"");
  }
  return static_cast<uint64_t>(bytes);
}

ModelOptions read_model_options(const cxxopts::ParseResult& parsed) {
  ModelOptions options;
  if (parsed.count("model") != 0) options.path = parsed["model"].as<std::string>();
  if (parsed.count("threads") != 0) {
    options.model.threads = parsed["threads"].as<int64_t>();
    if (options.model.threads < 1 || options.model.threads > 1024) {
      fail("--threads: expected 1 to 1024, found ", options.model.threads);
    }
  }
  options.model.pin = parsed.count("pin") != 0;
  if (parsed.count("backend") != 0) options.model.backend = parsed["backend"].as<std::string>();
  options.model.device = parsed["device"].as<std::string>();
  options.model.placement.gpu_layers = read_gpu_layers(parsed["gpu-layers"].as<std::string>());
  if (parsed.count("gpu-memory") != 0) {
    options.model.placement.gpu_memory = read_size("--gpu-memory", parsed["gpu-memory"].as<std::string>());
  }
  const auto activations = parsed["activations"].as<std::string>();
  if (activations != "int8" && activations != "float") {
    fail("--activations: expected int8 or float, found \"", activations, "\"");
  }
  options.model.float_activations = activations == "float";
  options.model.check = parsed.count("check") != 0;
  options.model.memory = {.copy = parsed.count("no-mmap") != 0, .lock = parsed.count("mlock") != 0};
  if (parsed.count("adapter") != 0) {
    for (const std::string& text : parsed["adapter"].as<std::vector<std::string>>()) {
      const auto [directory, weight] = tool::read_adapter_option(text);
      options.model.adapters.push_back({directory, weight});
    }
  }
  options.model.any_base = parsed.count("any-base") != 0;
  if (parsed.count("head-screening") != 0) {
    try {
      options.session.head_screening = head_screening_from_name(parsed["head-screening"].as<std::string>());
    } catch (const Error& e) {
      throw tool::UsageError(cat("--head-screening: ", e.what()));
    }
  }
  const auto kv = parsed["kv"].as<std::string>();
  if (kv != "f32" && kv != "f16" && kv != "q8") fail("--kv: expected f32, f16 or q8, found \"", kv, "\"");
  options.session.kv = dense_type_from_name(kv);
  options.session.batch = parsed["batch-size"].as<int64_t>();
  if (options.session.batch < 1 || options.session.batch > 65536) {
    fail("--batch-size: expected 1 to 65536, found ", options.session.batch);
  }
  return options;
}

void say_backend(const LanguageModel& model) {
  const auto placement = model.placement();
  const int64_t all = model.config().num_hidden_layers;
  std::string text = backend_text(model.backend());
  if (model.device().name() != "cpu") {
    const int64_t layers = placement->gpu_layers();
    const Backend& rest = placement->head_backend();
    if (layers == 0) {
      text += cat("; no layers on ", backend_text(model.device()));
    } else if (&rest == &model.device()) {
      text += cat(", all ", all, " layers and the head");
    } else {
      text += cat(", ", layers, " of ", all, " layers; ",
                  layers < all ? "the rest: " : "the head: ", backend_text(rest));
    }
  }
  std::fprintf(stderr, "backend %s\n", text.c_str());
  for (const auto& [adapter, weight] : model.adapters()) {
    std::fprintf(stderr, "adapter %s, weight %g, %s, %s\n", adapter->path().c_str(),
                 static_cast<double>(weight), tool::count_text(adapter->num_layers(), "layer").c_str(),
                 tool::bytes_text(static_cast<double>(adapter->bytes())).c_str());
  }
}

Json backend_json(const LanguageModel& model) {
  const Backend& backend = model.backend();
  const bool on_cpu = backend.name() == "cpu";
  Json adapters = Json::array();
  for (const auto& [adapter, weight] : model.adapters()) {
    adapters.push_back({{"path", adapter->path()},
                        {"weight", weight},
                        {"layers", adapter->num_layers()},
                        {"largest_rank", adapter->largest_rank()},
                        {"bytes", adapter->bytes()}});
  }
  return {{"backend", backend.name()},
          {"device", backend.device().empty() ? Json(nullptr) : Json(backend.device())},
          {"kernels", backend.kernels()},
          {"gpu_layers", on_cpu ? 0 : model.placement()->gpu_layers()},
          {"threads", backend.threads()},
          {"adapters", adapters}};
}

const text::Tokenizer& need_tokenizer(const LanguageModel& model, const std::string& instead) {
  if (model.tokenizer() == nullptr) fail(model.file().path(), ": the file holds no tokenizer: ", instead);
  return *model.tokenizer();
}

std::string read_text_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path)) fail(path, ": cannot read the file");
  std::string text;
  text.assign(std::istreambuf_iterator<char>(file), {});
  if (file.bad()) fail(path, ": cannot read the file");
  return text;
}

}  // namespace rotor::runtime::cli
