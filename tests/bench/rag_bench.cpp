// What a knowledge base costs and finds. docs/benchmarks-retrieval.md holds results.
//
//   rag_bench scale BASE [chunks, default 100000]
//       made-up documents with words as frequent as in English, and random vectors of 384 numbers. BASE is
//       FILE.db or postgresql://HOST/DATABASE#NAME; one that is there already is not filled again
//   rag_bench vectors [count, default 100000]
//       ways of searching that many random vectors of 384 numbers on one thread, in turns: FAISS's indexes,
//       and Rotor's, which screens the flat one
//   rag_bench qa PASSAGES.jsonl QUESTIONS.jsonl MODEL.rotor|'' FILE.db
//       questions whose passage is known: share found among the first five, and mean reciprocal rank, by
//       words, by vectors and by both; weights of the fusion are chosen on the even questions, figures are of
//       the odd ones. FILE.db is made, or one that rotor rag add made of the passages
#include <faiss/IndexFlat.h>
#include <faiss/IndexScalarQuantizer.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/tool/main.h"
#include "rotor/tool/progress.h"
#include "runtime/rag/files/file_sync.h"
#include "runtime/rag/sqlite/vector_index.h"
#include "runtime/retrieval/open_base.h"

namespace {

using namespace rotor;
using namespace rotor::runtime;

double seconds_of(const auto& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Of all threads of this process; on a machine that is shared it says more than the clock.
double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

struct Times {
  std::vector<double> clock;
  std::vector<double> cpu;
  void add(const auto& work) {
    const double before = cpu_seconds();
    clock.push_back(seconds_of(work));
    cpu.push_back(cpu_seconds() - before);
  }
};

double quantile(std::vector<double> values, double share) {
  std::ranges::sort(values);
  return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1))];
}

/// Bytes of this process that are in memory.
double resident_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::stod(line.substr(6)) * 1024;
  }
  return 0;
}

/// Words by Zipf's law as Mandelbrot has it, p ~ 1 / (rank + 2.7).
class Words {
 public:
  explicit Words(size_t count) {
    std::vector<double> weights;
    for (size_t rank = 1; rank <= count; ++rank) weights.push_back(1.0 / (static_cast<double>(rank) + 2.7));
    draw_ = std::discrete_distribution<size_t>(weights.begin(), weights.end());
  }
  /// The word of a rank: letters, shorter the more frequent it is.
  static std::string word(size_t rank) {
    std::string text;
    for (size_t rest = rank + 1; rest > 0; rest /= 20) {
      text += "bcdfghjklmnpqrstvwxz"[rest % 20];
      text += "aeiou"[rest % 5];
    }
    return text;
  }
  std::string draw(std::mt19937_64& random) { return word(draw_(random)); }

 private:
  std::discrete_distribution<size_t> draw_;
};

/// Random directions: a text's is always the same.
class RandomEmbedder : public rag::Embedder {
 public:
  std::string id() const override { return "random"; }
  int64_t dimensions() const override { return 384; }
  int64_t max_tokens() const override { return 256; }
  int64_t count_tokens(std::string_view text) const override { return rag::estimate_tokens(text); }
  std::vector<float> embed(std::span<const std::string> texts, const std::function<bool()>&) override {
    std::vector<float> vectors;
    seconds += seconds_of([&] {
      for (const std::string& text : texts) {
        std::mt19937 random(static_cast<uint32_t>(std::hash<std::string>()(text)));
        std::vector<float> vector(static_cast<size_t>(dimensions()));
        float square = 0.0F;
        for (float& value : vector) {
          value = static_cast<float>(random()) / 4294967296.0F - 0.5F;
          square += value * value;
        }
        for (float& value : vector) value /= std::sqrt(square);
        vectors.insert(vectors.end(), vector.begin(), vector.end());
      }
    });
    return vectors;
  }
  double seconds = 0.0;
};

constexpr int64_t kPerDocument = 10;

rag::Document made_up(int64_t number, Words& words) {
  std::mt19937_64 random(static_cast<uint64_t>(number));
  rag::Document document;
  document.id = cat("document ", number);
  document.title = document.id;
  for (int64_t i = 0; i < kPerDocument; ++i) {
    std::string text;
    for (int w = 0; w < 120; ++w) {
      if (w > 0) text += ' ';
      text += words.draw(random);
    }
    text += '.';
    document.blocks.push_back({rag::Block::Kind::heading, 1, words.draw(random), {}});
    document.blocks.push_back({rag::Block::Kind::paragraph, 0, std::move(text), {}});
  }
  return document;
}

void print_times(const char* name, const Times& times) {
  std::printf("%-22s median %7.2f ms, 95 %% %7.2f ms; of the processor %7.2f ms\n", name,
              1e3 * quantile(times.clock, 0.5), 1e3 * quantile(times.clock, 0.95),
              1e3 * quantile(times.cpu, 0.5));
}

void fill(const std::string& path, int64_t chunks, Words& words) {
  auto embedder = std::make_shared<RandomEmbedder>();
  retrieval::create_store(path, {embedder->id(), embedder->dimensions(), {}}, {});
  rag::KnowledgeBase base(retrieval::open_store(path, {}), embedder);
  double adding = 0.0;
  for (int64_t i = 0; i < chunks / kPerDocument; ++i) {
    const rag::Document document = made_up(i, words);
    adding += seconds_of([&] { base.put(document); });
  }
  const double settling = seconds_of([&] { base.store().settle(); });
  const double all = adding - embedder->seconds + settling;
  std::printf("add: %.0f chunks/s without embedding; settle %.2f s\n", static_cast<double>(chunks) / all,
              settling);
}

/// As questions are: some frequent words, some rare ones of one passage.
std::vector<std::string> made_up_queries(int64_t documents, Words& words) {
  std::vector<std::string> queries;
  for (int64_t i = 0; i < 200; ++i) {
    const rag::Document document = made_up(i * documents / 200, words);
    const std::string& text = document.blocks[1].text;
    queries.push_back(text.substr(0, text.find(' ', 40)));
  }
  return queries;
}

void scale(const std::string& path, int64_t chunks) {
  Words words(200'000);
  if (!retrieval::has_base(path, {})) fill(path, chunks, words);
  Times opening;
  Times first;
  for (int i = 0; i < 11; ++i) {
    std::shared_ptr<rag::Store> store;
    opening.add([&] { store = retrieval::open_store(path, {}); });
    store.reset();
    first.add([&] {
      store = retrieval::open_store(path, {});
      store->snapshot();
    });
  }
  print_times("open", opening);
  print_times("open, index ready", first);
  const double before = resident_bytes();
  const rag::KnowledgeBase base(retrieval::open_store(path, {}), std::make_shared<RandomEmbedder>());
  const auto statistics = base.store().snapshot()->statistics();
  std::printf("%lld documents, %lld chunks, %s on disk\n", static_cast<long long>(statistics.documents),
              static_cast<long long>(statistics.chunks),
              tool::bytes_text(static_cast<double>(statistics.bytes)).c_str());
  const auto queries = made_up_queries(statistics.documents, words);
  // In turns: what else the machine does falls on all.
  std::map<rag::SearchMode, Times> times;
  for (const std::string& query : queries) {
    for (const auto mode : {rag::SearchMode::words, rag::SearchMode::vectors, rag::SearchMode::hybrid})
      times[mode].add([&] { base.search(query, {.mode = mode}); });
  }
  print_times("search by words", times[rag::SearchMode::words]);
  print_times("search by vectors", times[rag::SearchMode::vectors]);
  print_times("search by both", times[rag::SearchMode::hybrid]);
  std::printf("%zu queries; memory: %s, %s of them for this base\n", queries.size(),
              tool::bytes_text(resident_bytes()).c_str(),
              tool::bytes_text(resident_bytes() - before).c_str());
}

/// The first 50 of each of 40 questions; the share of the exact ones that each way finds.
void search_vectors(int64_t count) {
  constexpr int kQueries = 40;
  constexpr int64_t kWanted = 50;
  omp_set_num_threads(1);
  RandomEmbedder embedder;
  const auto embed = [&](const char* name, int64_t number) {
    std::vector<std::string> texts;
    for (int64_t i = 0; i < number; ++i) texts.push_back(cat(name, i));
    return embedder.embed(texts, {});
  };
  const std::vector<float> vectors = embed("v", count);
  const std::vector<float> queries = embed("q", kQueries);
  const auto width = static_cast<int>(embedder.dimensions());
  using Quantizer = faiss::ScalarQuantizer;
  faiss::IndexFlatIP flat(width);
  faiss::IndexScalarQuantizer in_8_bits(width, Quantizer::QT_8bit, faiss::METRIC_INNER_PRODUCT);
  faiss::IndexScalarQuantizer in_half(width, Quantizer::QT_fp16, faiss::METRIC_INNER_PRODUCT);
  const std::map<std::string, faiss::Index*> theirs = {
      {"FAISS, flat", &flat}, {"FAISS, 8 bits", &in_8_bits}, {"FAISS, fp16", &in_half}};
  for (const auto& [name, index] : theirs) {
    index->train(count, vectors.data());
    index->add(count, vectors.data());
  }
  rag::VectorIndex ours(width);
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(i);
  ours.add(ids, vectors);

  std::map<std::string, Times> times;
  std::map<std::string, int64_t> right;
  for (int q = 0; q < kQueries; ++q) {
    const float* const query = queries.data() + static_cast<ptrdiff_t>(q) * width;
    std::vector<rag::Hit> exact;
    times["Rotor"].add([&] { exact = ours.search({query, static_cast<size_t>(width)}, kWanted); });
    for (const auto& [name, index] : theirs) {
      std::vector<float> scores(kWanted);
      std::vector<faiss::Index::idx_t> found(kWanted);
      times[name].add([&] { index->search(1, query, kWanted, scores.data(), found.data()); });
      for (const rag::Hit& hit : exact) right[name] += std::ranges::count(found, hit.chunk);
    }
  }
  for (const auto& [name, its] : times) print_times(name.c_str(), its);
  for (const auto& [name, its] : right)
    std::printf("%-22s finds %.4f of what Rotor finds\n", name.c_str(),
                static_cast<double>(its) / (kQueries * kWanted));
}

struct Question {
  std::string text;
  std::string passage;
};

struct Quality {
  double hit5 = 0.0;
  double mrr = 0.0;
};

Quality measure(const rag::KnowledgeBase& base, std::span<const Question> questions,
                const rag::SearchOptions& options) {
  Quality quality;
  for (const Question& question : questions) {
    const auto found = base.search(question.text, options);
    for (size_t i = 0; i < found.size(); ++i) {
      if (found[i].chunk.document.id != question.passage) continue;
      quality.mrr += 1.0 / static_cast<double>(i + 1);
      if (i < 5) quality.hit5 += 1.0;
      break;
    }
  }
  quality.hit5 /= static_cast<double>(questions.size());
  quality.mrr /= static_cast<double>(questions.size());
  return quality;
}

void qa(const std::string& passages, const std::string& questions, const std::string& model,
        const std::string& path) {
  retrieval::BaseOptions options;
  options.embedder = model;
  const bool is_new = !retrieval::has_base(path, {});
  const auto base =
      is_new ? retrieval::create_base(path, options, {.max_tokens = 0}) : retrieval::open_base(path, options);
  const std::string file = rag::absolute_path(passages);
  rag::FileSync(*base, {}).sync({file, rag::FileKind::json_lines, "", Json::object()});
  std::vector<Question> halves[2];
  std::ifstream in(questions);
  int64_t number = 0;
  for (std::string line; std::getline(in, line); ++number) {
    const Json json = parse_json(line, questions);
    halves[number % 2].push_back({json["question"], cat(file, "#", json["passage_id"].get<int64_t>())});
  }
  const auto print_for = [&](std::span<const Question> asked, const char* name,
                             const rag::SearchOptions& search) {
    const Quality quality = measure(*base, asked, search);
    std::printf("%-28s hit rate at 5 %.4f, MRR at 10 %.4f\n", name, quality.hit5, quality.mrr);
  };
  const auto print = [&](const char* name, const rag::SearchOptions& search) {
    print_for(halves[1], name, search);
  };
  std::printf("%zu questions to choose, %zu to report\n", halves[0].size(), halves[1].size());
  print("words (BM25)", {.mode = rag::SearchMode::words, .count = 10});
  std::vector<Question> all = halves[0];
  all.insert(all.end(), halves[1].begin(), halves[1].end());
  print_for(all, "words, all questions", {.mode = rag::SearchMode::words, .count = 10});
  if (base->store().config().dimensions == 0) return;
  rag::SearchOptions best;
  Quality best_quality;
  for (const double share : {0.2, 0.3, 0.4, 0.5, 0.6, 0.7}) {
    for (const double k : {5.0, 10.0, 20.0, 60.0}) {
      rag::SearchOptions search;
      search.count = 10;
      search.words_share = share;
      search.fusion_k = k;
      const Quality quality = measure(*base, halves[0], search);
      if (quality.hit5 + quality.mrr > best_quality.hit5 + best_quality.mrr) {
        best = search;
        best_quality = quality;
      }
    }
  }
  print("vectors", {.mode = rag::SearchMode::vectors, .count = 10});
  print("hybrid, defaults", {.count = 10});
  print(cat("hybrid, share ", best.words_share, ", k ", best.fusion_k).c_str(), best);
}

int run(int argc, char** argv) {
  const std::string command = argc > 1 ? argv[1] : "";
  if (command == "scale" && argc > 2) {
    scale(argv[2], argc > 3 ? std::stoll(argv[3]) : 100'000);
  } else if (command == "vectors") {
    search_vectors(argc > 2 ? std::stoll(argv[2]) : 100'000);
  } else if (command == "qa" && argc > 5) {
    qa(argv[2], argv[3], argv[4], argv[5]);
  } else {
    throw tool::UsageError("expected scale, vectors or qa; the beginning of rag_bench.cpp says how");
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return rotor::tool::run_guarded("rag_bench", [&] { return run(argc, argv); });
}
