// When sources are used: by the mode, by what was found, by how sure the model is; and bases that fail.
#include "runtime/retrieval/retriever.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <stdexcept>
#include <thread>

#include "rotor/core/error.h"
#include "runtime/retrieval/reranker.h"
#include "tests/rag/rag_fixture.h"
#include "tests/support/chat_model.h"

namespace rotor::runtime::retrieval {
namespace {

using std::chrono::milliseconds;
using test::document_of;
using test::expect_error;
using test::WordEmbedder;

/// A base whose searches do what a test says.
class TroubledStore final : public rag::Store {
 public:
  TroubledStore(std::shared_ptr<rag::Store> store, std::function<void()> trouble)
      : store_(std::move(store)), trouble_(std::move(trouble)) {}
  std::string name() const override { return store_->name(); }
  const rag::BaseConfig& config() const override { return store_->config(); }
  std::unique_ptr<rag::Snapshot> snapshot() override {
    trouble_();
    return store_->snapshot();
  }
  std::vector<std::string> kept_keys(const std::string& document,
                                     std::span<const rag::Chunk> chunks) override {
    return store_->kept_keys(document, chunks);
  }
  bool put(const rag::DocumentRecord& document, std::span<const rag::Chunk> chunks,
           std::span<const std::string> kept, std::span<const float> vectors) override {
    return store_->put(document, chunks, kept, vectors);
  }
  bool remove(const std::string& document) override { return store_->remove(document); }
  std::map<std::string, std::string> notes(const std::string& prefix) override {
    return store_->notes(prefix);
  }
  void set_note(const std::string& name, const std::optional<std::string>& text) override {
    store_->set_note(name, text);
  }
  void settle() override { store_->settle(); }

 private:
  std::shared_ptr<rag::Store> store_;
  std::function<void()> trouble_;
};

class RetrieverTest : public test::BaseFixture {
 protected:
  std::shared_ptr<rag::KnowledgeBase> fill(bool vectors) {
    vectors ? create() : create("", 0);
    auto base = std::make_shared<rag::KnowledgeBase>(
        open(), vectors ? std::make_shared<WordEmbedder>() : std::shared_ptr<WordEmbedder>());
    base->put(document_of("tides", "the moon makes the tides of the sea", {{"year", 2020}}));
    base->put(document_of("bread", "flour and water and salt make bread", {{"year", 2021}}));
    base->put(document_of("moon", "the moon is far", {{"year", 2022}}));
    return base;
  }
  static Retriever retriever(std::shared_ptr<const rag::KnowledgeBase> base) {
    return {std::move(base), rag::estimate_tokens, {}};
  }
  static RetrievalRequest request(const std::string& question, Mode mode = Mode::automatic) {
    RetrievalRequest request;
    request.question = question;
    request.options.mode = mode;
    return request;
  }
  static std::vector<std::string> sources(const Retrieval& retrieval) {
    std::vector<std::string> names;
    for (const Source& source : retrieval.sources) names.push_back(source.source);
    return names;
  }
};

using Names = std::vector<std::string>;

TEST_F(RetrieverTest, NeverSearchesNothing) {
  const Retriever never = retriever(fill(true));
  const Retrieval result = never.retrieve(request("moon tides", Mode::never));
  EXPECT_EQ(result.outcome, Outcome::never);
  EXPECT_TRUE(result.sources.empty() && result.context.empty());
  EXPECT_EQ(never.retrieve(request("", Mode::always)).outcome, Outcome::never);
}

TEST_F(RetrieverTest, AlwaysTakesWhatIsFound) {
  for (const bool vectors : {true, false}) {
    std::filesystem::remove(path());
    const Retriever always = retriever(fill(vectors));
    RetrievalRequest asked = request("tides of the moon", Mode::always);
    asked.uncertainty = []() -> std::optional<double> {
      ADD_FAILURE() << "nobody need ask the model";
      return 0.0;
    };
    asked.options.count = 2;
    const Retrieval result = always.retrieve(asked);
    EXPECT_TRUE(result.used()) << result.reason;
    EXPECT_EQ(sources(result), (Names{"tides.txt", "moon.txt"}));
    EXPECT_NE(result.context.find("> the moon makes the tides of the sea\n"), std::string::npos);
    EXPECT_GT(result.sources[0].score.value(), result.sources[1].score.value());
    EXPECT_LE(result.sources[0].score.value(), 1.0);
    EXPECT_GT(result.search_ms, 0.0);
  }
}

TEST_F(RetrieverTest, AutomaticWantsAFittingSourceAndAnUnsureModel) {
  for (const bool vectors : {true, false}) {
    std::filesystem::remove(path());
    const Retriever automatic = retriever(fill(vectors));
    const auto ask = [&](const std::string& question, std::optional<double> entropy,
                         double min_score = 0.35) {
      RetrievalRequest asked = request(question);
      asked.options.min_score = min_score;
      asked.uncertainty = [entropy] { return entropy; };
      return automatic.retrieve(asked);
    };
    const Retrieval unsure = ask("tides of the moon", 1.5);
    EXPECT_EQ(unsure.outcome, Outcome::used) << unsure.reason;
    EXPECT_NE(unsure.reason.find("unsure (1.5 nats)"), std::string::npos) << unsure.reason;
    const Retrieval sure = ask("tides of the moon", 0.4);
    EXPECT_EQ(sure.outcome, Outcome::sure);
    EXPECT_EQ(sure.reason, "the model is sure (0.4 nats)");
    EXPECT_TRUE(sure.sources.empty() && sure.context.empty());
    EXPECT_EQ(ask("tides of the moon", std::nullopt).outcome, Outcome::used);
    const Retrieval far = ask("who governs the republic of Venezuela", 9.0, 0.75);
    EXPECT_EQ(far.outcome, Outcome::irrelevant);
    EXPECT_NE(far.reason.find("below 0.75"), std::string::npos) << far.reason;
    EXPECT_EQ(ask("tides of the moon", 9.0, 0.01).outcome, Outcome::used);
  }
}

TEST_F(RetrieverTest, TheModelIsAskedOnlyIfItMatters) {
  const Retriever automatic = retriever(fill(true));
  int asked = 0;
  RetrievalRequest far = request("zebra");
  far.uncertainty = [&]() -> std::optional<double> { return ++asked, 2.0; };
  EXPECT_EQ(automatic.retrieve(far).outcome, Outcome::irrelevant);
  EXPECT_EQ(asked, 0);
  far.question = "tides of the moon";
  EXPECT_TRUE(automatic.retrieve(far).used());
  EXPECT_EQ(asked, 1);
  far.uncertainty = []() -> std::optional<double> { throw std::runtime_error("of the model"); };
  EXPECT_THROW(automatic.retrieve(far), std::runtime_error) << "what the model does wrong is not the base's";
}

TEST_F(RetrieverTest, FilterCountAndBudget) {
  const Retriever always = retriever(fill(true));
  RetrievalRequest asked = request("moon", Mode::always);
  asked.options.filter = {"year>=2021", "year!=2021"};
  EXPECT_EQ(sources(always.retrieve(asked)), (Names{"moon.txt"}));
  asked.options.filter = {"year>=2030"};
  EXPECT_EQ(always.retrieve(asked).outcome, Outcome::nothing);
  asked.options.filter = {};
  asked.options.count = 1;
  EXPECT_EQ(always.retrieve(asked).sources.size(), 1U);
  asked.options.count = 3;
  asked.options.budget_tokens = 10;
  const Retrieval none = always.retrieve(asked);
  EXPECT_EQ(none.outcome, Outcome::no_room);
  EXPECT_NE(none.reason.find("10 tokens"), std::string::npos);
  asked.options.filter = {"year"};
  EXPECT_EQ(always.retrieve(asked).outcome, Outcome::failed) << "check() is for such";
}

TEST_F(RetrieverTest, AModelMayOrderWhatIsFound) {
  test::write_chat_model(dir_.file("m.rotor"), 512);
  const auto model = std::make_shared<const LanguageModel>(dir_.file("m.rotor"));
  const auto base = fill(true);
  // The order that the model gives all three; the questions are such that it is not always the same.
  const auto expected = [&](const std::string& question) {
    rag::SearchOptions all;
    all.count = 3;
    std::vector<rag::StoredChunk> chunks;
    for (const rag::Found& one : base->search(question, all)) chunks.push_back(one.chunk);
    const std::vector<double> scores = Reranker(model)(question, chunks);
    Names names;
    while (names.size() < chunks.size()) {
      const auto best = std::ranges::max_element(chunks, {}, [&](const rag::StoredChunk& chunk) {
        const bool is_taken = std::ranges::find(names, chunk.document.source) != names.end();
        return is_taken ? -1e9 : scores[static_cast<size_t>(&chunk - chunks.data())];
      });
      names.push_back(best->document.source);
    }
    return names;
  };
  Retriever::Options options;
  options.search.rerank = Reranker(model);
  const Retriever ordering(base, rag::estimate_tokens, options);
  const Names questions = {"the moon", "salt", "what is far?", "flour and water and salt"};
  std::set<Names> orders;
  std::vector<std::thread> threads;
  for (const std::string& question : questions) {
    const Names order = expected(question);
    orders.insert(order);
    threads.emplace_back([&ordering, question, order] {
      for (int i = 0; i < 3; ++i)
        EXPECT_EQ(sources(ordering.retrieve(request(question, Mode::always))), order) << question;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(orders.begin()->size(), 3U);
  EXPECT_NE(orders, std::set<Names>{sources(retriever(base).retrieve(request("the moon", Mode::always)))});
}

TEST_F(RetrieverTest, ChecksOptions) {
  const Retriever any = retriever(fill(false));
  const auto refuse = [&](auto change, const std::string& part) {
    RetrievalOptions options;
    change(options);
    expect_error([&] { any.check(options); }, {part});
  };
  refuse([](auto& o) { o.count = 0; }, "count");
  refuse([](auto& o) { o.count = 101; }, "count");
  refuse([](auto& o) { o.budget_tokens = 0; }, "budget");
  refuse([](auto& o) { o.min_score = 1.5; }, "min_score");
  refuse([](auto& o) { o.min_entropy = -1.0; }, "entropy");
  refuse([](auto& o) { o.filter = {"year"}; }, "year");
  any.check({});
  any.check({.count = 100, .filter = {"year>=2020"}});
}

TEST_F(RetrieverTest, ABaseThatFailsEndsNothing) {
  auto good = fill(true);
  for (const bool known : {true, false}) {
    auto base = std::make_shared<rag::KnowledgeBase>(
        std::make_shared<TroubledStore>(open(),
                                        [known] {
                                          if (known) fail("base.db: connection lost");
                                          throw std::bad_alloc();
                                        }),
        std::make_shared<WordEmbedder>());
    const Retrieval result = retriever(base).retrieve(request("moon", Mode::always));
    EXPECT_EQ(result.outcome, Outcome::failed);
    EXPECT_EQ(result.reason, "the knowledge base could not be searched");
    EXPECT_FALSE(result.failure.empty());
    EXPECT_EQ(result.failure == "base.db: connection lost", known) << result.failure;
    EXPECT_TRUE(result.context.empty());
  }
}

TEST_F(RetrieverTest, AFailureRepeatsNothingOfTheQuestion) {
  fill(true);
  const auto failure = [&](const std::string& says, const std::string& question) {
    auto base = std::make_shared<rag::KnowledgeBase>(
        std::make_shared<TroubledStore>(open(), [&] { fail(says); }), std::make_shared<WordEmbedder>());
    return retriever(base).retrieve(request(question, Mode::always)).failure;
  };
  EXPECT_EQ(failure("status 400: {\"input\": \"my secret\\nis mauve\"}", "well, my secret\nis mauve"),
            "status 400: {\"input\": \"my secret\\nis mauve\"}")
      << "too little in a row";
  EXPECT_EQ(failure("status 400: \"my secret colour\\nis mauve\"", "well, my secret colour\nis mauve"),
            "status 400: \"(the question)");
  EXPECT_EQ(failure("found \"mauve\", no", "mauve"), "found \"(the question)");
  EXPECT_EQ(failure("base.db: connection lost", "which moon?"), "base.db: connection lost");
}

TEST_F(RetrieverTest, ASlowBaseIsNotWaitedFor) {
  fill(true);
  std::atomic<bool> released = false;
  std::atomic<int> begun = 0;
  auto base = std::make_shared<rag::KnowledgeBase>(
      std::make_shared<TroubledStore>(open(),
                                      [&] {
                                        ++begun;
                                        while (!released) std::this_thread::sleep_for(milliseconds(1));
                                      }),
      std::make_shared<WordEmbedder>());
  {
    const Retriever slow(base, rag::estimate_tokens, {.search = {}, .threads = 1, .queue = 1});
    RetrievalRequest asked = request("moon", Mode::always);
    asked.options.timeout = milliseconds(80);
    const Retrieval late = slow.retrieve(asked);
    EXPECT_EQ(late.outcome, Outcome::failed);
    EXPECT_NE(late.failure.find("longer than 0.08 s"), std::string::npos) << late.failure;
    EXPECT_GE(late.search_ms, 80.0);
    // The only thread is busy: this one waits in the queue, the next finds it full.
    asked.options.timeout = milliseconds(10'000);
    std::atomic<bool> goes_on = true;
    asked.keep_going = [&] { return goes_on.load(); };
    Retrieval given_up;
    std::thread other([&] { given_up = slow.retrieve(asked); });
    std::this_thread::sleep_for(milliseconds(200));
    EXPECT_NE(slow.retrieve(request("moon", Mode::always)).failure.find("too many"), std::string::npos);
    goes_on = false;
    other.join();
    EXPECT_NE(given_up.failure.find("given up"), std::string::npos) << given_up.failure;
    released = true;
    asked.keep_going = {};
    while (slow.retrieve(asked).outcome == Outcome::failed) std::this_thread::sleep_for(milliseconds(5));
    EXPECT_TRUE(slow.retrieve(asked).used());
  }
  EXPECT_EQ(begun, 3) << "the search that was given up in the queue was not begun";
}

}  // namespace
}  // namespace rotor::runtime::retrieval
