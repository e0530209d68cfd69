// Texts that are computed together are what each of them is alone, token for token: whatever joins and
// leaves, with shared and scarce pages, guesses, adapters, and devices that are lost.
#include "runtime/engine/batcher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <thread>

#include "tests/support/adapters.h"
#include "tests/support/chat_model.h"
#include "tests/support/models.h"
#include "tests/support/pretend_device.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime {
namespace {

using namespace std::chrono_literals;
using test::expect_error;
using text::TokenId;
using Tokens = std::vector<TokenId>;

constexpr int64_t kContext = 256;

/// All that comes of a text.
BatchProgress finish(BatchText& text) {
  BatchProgress all;
  while (!all.finished) {
    BatchProgress some = text.wait(10s);
    if (some.tokens.empty() && !some.finished) {
      ADD_FAILURE() << "nothing came for ten seconds";
      return all;
    }
    some.text = all.text + some.text;
    some.tokens.insert(some.tokens.begin(), all.tokens.begin(), all.tokens.end());
    all = std::move(some);
  }
  return all;
}

Tokens ids_of(const BatchProgress& progress) {
  Tokens ids;
  for (const BatchToken& token : progress.tokens) ids.push_back(token.id);
  return ids;
}

/// Holds the batcher up, until it is opened.
class Gate : public TokenConstraint {
 public:
  void open() {
    open_ = true;
    open_.notify_all();
  }
  bool allows(TokenId) override {
    open_.wait(false);
    return true;
  }
  void restrict(std::span<float>) override {}
  void accept(TokenId) override {}

 private:
  std::atomic<bool> open_ = false;
};

class BatcherTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    files_ = new test::TempDir;
    test::write_chat_model(files_->file("m.rotor"), kContext);
    model_ = new LanguageModel(files_->file("m.rotor"), {.threads = 2});
    ModelConfig config = test::small_transformer();
    config.transformer.vocab_size = model_->config().vocab_size;
    test::write_random_adapter(files_->file("adapter"), config, 3);
  }
  static void TearDownTestSuite() {
    delete model_;
    delete files_;
  }

  static Tokens prompt(size_t size, uint64_t seed) {
    test::Random random(seed);
    Tokens ids(size);
    for (TokenId& id : ids) id = static_cast<TokenId>(random.integer(0, model_->vocab_size() - 1));
    return ids;
  }
  static BatchRequest greedy(Tokens ids, int64_t count) {
    BatchRequest request;
    request.prompt = std::move(ids);
    request.sampling.temperature = 0.0;
    request.max_new_tokens = count;
    return request;
  }
  /// The text is made of a, b and c.
  static void prefer_letters(BatchRequest& request) {
    for (const char* letter : {"a", "b", "c"}) {
      const Tokens ids = model_->tokenizer()->encode(letter, text::SpecialTokens::as_text);
      request.sampling.logit_bias[ids.front()] = 50.0F;
    }
  }
  /// The same by a session of its own.
  static GenerateResult alone(const BatchRequest& request, KvType kv = KvType::f16) {
    Session session = model_->make_session({.kv = kv, .adapters = request.adapters});
    Sampler sampler(request.sampling, model_->vocab_size());
    return generate(feed_of(session), request.prompt, sampler, model_->tokenizer(),
                    {.max_new_tokens = request.max_new_tokens,
                     .stop_tokens = request.stop_tokens,
                     .stop_strings = request.stop_strings,
                     .continues_text = request.continues_text});
  }
  static void expect_alone(const BatchProgress& found, const BatchRequest& request, KvType kv = KvType::f16) {
    const GenerateResult expected = alone(request, kv);
    EXPECT_EQ(found.error, "");
    EXPECT_EQ(ids_of(found), expected.ids);
    EXPECT_EQ(found.text, expected.text);
    EXPECT_EQ(found.stop_reason, expected.stop_reason);
    EXPECT_EQ(found.usage.prompt_tokens, std::ssize(request.prompt));
    EXPECT_EQ(found.usage.completion_tokens, std::ssize(expected.ids));
  }
  /// Submits all at once, and expects of each what it is alone.
  static void expect_all_alone(Batcher& batcher, const std::vector<BatchRequest>& requests,
                               KvType kv = KvType::f16, const std::function<void()>& when_submitted = {}) {
    std::vector<std::shared_ptr<BatchText>> texts;
    for (const BatchRequest& request : requests) texts.push_back(batcher.submit(request));
    if (when_submitted) when_submitted();
    for (size_t i = 0; i < texts.size(); ++i) {
      SCOPED_TRACE(i);
      expect_alone(finish(*texts[i]), requests[i], kv);
    }
    EXPECT_TRUE(batcher.drain(10s));  // until the last one is counted
  }
  /// Prompts of many lengths, greedy and drawn, with penalties and biases.
  static std::vector<BatchRequest> many_requests() {
    std::vector<BatchRequest> requests;
    for (uint64_t i = 0; i < 24; ++i) {
      const std::array sizes = {1, 2, 31, 32, 33, 64, 65, 150};
      BatchRequest request =
          greedy(prompt(static_cast<size_t>(sizes[i % sizes.size()]), i), 20 + 3 * static_cast<int64_t>(i));
      if (i % 2 == 1) request.sampling = {.temperature = 1.0, .top_k = 20, .seed = i};
      if (i % 3 == 1) request.sampling.repeat_penalty = 1.3;
      if (i % 5 == 1) request.sampling.logit_bias[7] = 2.0F;
      requests.push_back(std::move(request));
    }
    return requests;
  }

  static inline test::TempDir* files_ = nullptr;
  static inline LanguageModel* model_ = nullptr;
};

TEST_F(BatcherTest, EachTextIsWhatItIsAlone) {
  for (const KvType kv : {KvType::f32, KvType::f16, KvType::q8}) {
    Batcher batcher(*model_, {.session = {.kv = kv}, .max_sequences = 16, .queue = 64});
    expect_all_alone(batcher, many_requests(), kv);
    const BatcherStatistics statistics = batcher.statistics();
    EXPECT_EQ(statistics.finished, 24U);
    EXPECT_EQ(statistics.pages_used, 0);
    EXPECT_GT(statistics.pages_cached, 0);
    EXPECT_LT(statistics.steps, statistics.completion_tokens / 4);  // they were computed together
  }
}

TEST_F(BatcherTest, MoreTextsThanATextHasTokens) {
  Batcher batcher(*model_, {.session = {.context = 4}, .max_sequences = 24, .queue = 64});
  std::vector<BatchRequest> requests;
  for (uint64_t i = 0; i < 24; ++i) requests.push_back(greedy(prompt(2, i), 2));
  expect_all_alone(batcher, requests);
}

TEST_F(BatcherTest, StepsOfAFewRowsAndOneTextAtATime) {
  Batcher narrow(*model_, {.session = {.batch = 5}, .max_sequences = 3, .queue = 64, .prefill_chunk = 2});
  expect_all_alone(narrow, many_requests());
  Batcher one(*model_, {.max_sequences = 1, .queue = 64, .prefix_cache = false});
  expect_all_alone(one, many_requests());
  EXPECT_EQ(one.statistics().pages_cached, 0);
}

// Less memory than the texts take together: the youngest give their pages to the oldest, and begin anew.
TEST_F(BatcherTest, ScarcePagesChangeNothing) {
  const uint64_t page = model_->transformer().cache_bytes_per_layer({.kv = KvType::f16, .kv_pages = 1}) *
                        static_cast<uint64_t>(model_->config().num_hidden_layers);
  Batcher batcher(*model_, {.max_sequences = 8, .kv_bytes = 9 * page, .queue = 64});
  std::vector<BatchRequest> requests;
  for (uint64_t i = 0; i < 8; ++i) requests.push_back(greedy(prompt(20, 100 + i), 120));
  expect_all_alone(batcher, requests);
  EXPECT_GT(batcher.statistics().preempted, 0U);
  EXPECT_EQ(batcher.statistics().pages, 9);
  EXPECT_EQ(batcher.statistics().pages_used, 0);
}

TEST_F(BatcherTest, TheSameBeginningIsComputedOnce) {
  Batcher batcher(*model_, {.max_sequences = 8, .queue = 64});
  Tokens beginning = prompt(100, 5);
  std::vector<BatchRequest> requests;
  for (TokenId i = 0; i < 8; ++i) {
    requests.push_back(greedy(beginning, 10));
    requests.back().prompt.push_back(i);
  }
  expect_all_alone(batcher, requests);
  EXPECT_EQ(batcher.statistics().cached_tokens, 7U * 96U);  // three whole pages of each but the first
  // Later ones find it, too: of 96 tokens all but the last page, since the last token's logits are wanted.
  requests.resize(1);
  requests[0].prompt.resize(96);
  expect_all_alone(batcher, requests);
  EXPECT_EQ(batcher.statistics().cached_tokens, 7U * 96U + 64U);
  // A conversation that goes on computes only what is new.
  const GenerateResult answer = alone(requests[0]);
  requests[0].prompt.insert(requests[0].prompt.end(), answer.ids.begin(), answer.ids.end());
  requests[0].prompt.push_back(3);
  const auto text = batcher.submit(requests[0]);
  const BatchProgress found = finish(*text);
  expect_alone(found, requests[0]);
  EXPECT_EQ(found.usage.cached_tokens, 96);
}

TEST_F(BatcherTest, GuessesChangeNothingButTheNumberOfSteps) {
  std::vector<BatchRequest> requests;
  for (uint64_t i = 0; i < 5; ++i) {
    requests.push_back(greedy(prompt(10, 7 + i), i == 0 ? 60 : 200));
    if (i > 2) requests.back().sampling = {.temperature = 0.7, .top_k = 3, .seed = i};
    if (i > 0)
      prefer_letters(requests.back());  // which repeat themselves, unlike all that a random model says
  }
  for (const int64_t together : {1, 5}) {
    uint64_t steps = 0;
    for (const int64_t draft : {0, 6}) {
      Batcher batcher(*model_, {.max_sequences = together, .queue = 64, .draft_tokens = draft});
      // All begin in one step: a text before them holds the batch until they are there.
      const auto gate = std::make_shared<Gate>();
      BatchRequest first = greedy(prompt(3, 1), 1);
      first.constraint = gate;
      const auto held = batcher.submit(first);
      expect_all_alone(batcher, requests, KvType::f16, [&] { gate->open(); });
      const BatcherStatistics statistics = batcher.statistics();
      EXPECT_LE(statistics.accepted_tokens, statistics.drafted_tokens);
      if (draft == 0) {
        EXPECT_EQ(statistics.drafted_tokens, 0U);
        steps = statistics.steps;
      } else {
        EXPECT_GT(statistics.accepted_tokens, 100U);
        EXPECT_LT(statistics.steps, steps - (together == 1 ? 100 : 10));
      }
    }
  }
}

TEST_F(BatcherTest, TextsEndWhereTheyEndAlone) {
  Batcher batcher(*model_, {.max_sequences = 4, .queue = 64, .draft_tokens = 4});
  BatchRequest plain = greedy(prompt(12, 50), 40);
  prefer_letters(plain);
  plain.sampling.temperature = 1.0;
  const GenerateResult whole = alone(plain);
  std::vector<BatchRequest> requests;
  requests.push_back(plain);
  requests.back().stop_tokens = {whole.ids[10]};
  requests.push_back(plain);
  requests.back().stop_strings = {whole.text.substr(whole.text.size() / 2, 4)};
  requests.push_back(plain);
  requests.back().max_new_tokens = -1;  // as far as the context reaches
  requests.push_back(plain);
  requests.back().max_new_tokens = 0;
  expect_all_alone(batcher, requests);
}

TEST_F(BatcherTest, LogprobsAreThoseOfTheModel) {
  Batcher batcher(*model_, {.max_sequences = 2});
  BatchRequest request = greedy(prompt(9, 60), 3);
  request.top_logprobs = 4;
  request.sampling.logit_bias[11] = 100.0F;  // changes what is drawn, and no log-probability
  const BatchProgress found = finish(*batcher.submit(request));
  ASSERT_EQ(found.tokens.size(), 3U);
  Session session = model_->make_session({});
  Tokens fed = request.prompt;
  for (const BatchToken& token : found.tokens) {
    EXPECT_EQ(token.id, 11);
    const auto logits = session.feed(fed);
    double sum = 0.0;
    for (int64_t id = 0; id < model_->vocab_size(); ++id)
      sum += std::exp(static_cast<double>(logits[static_cast<size_t>(id)]));
    EXPECT_NEAR(token.logprob, static_cast<double>(logits[11]) - std::log(sum), 1e-5);
    ASSERT_EQ(token.alternatives.size(), 4U);
    for (size_t i = 0; i < 4; ++i) {
      const auto [id, logprob] = token.alternatives[i];
      EXPECT_NEAR(logprob, static_cast<double>(logits[static_cast<size_t>(id)]) - std::log(sum), 1e-5);
      if (i > 0) {
        EXPECT_GE(token.alternatives[i - 1].logprob, logprob);
      }
    }
    fed = {token.id};
  }
}

TEST_F(BatcherTest, EmbeddingsAreMeansOfHiddenStates) {
  Batcher batcher(*model_, {.session = {.batch = 16}, .max_sequences = 4});
  const Tokens ids = prompt(70, 61);
  std::vector<double> sum;
  Session session = model_->make_session({});
  session.observe([&](int64_t layer, std::span<const float> hidden) {
    if (layer != model_->config().num_hidden_layers + 1) return;
    sum.resize(static_cast<size_t>(model_->config().hidden_size));
    for (size_t i = 0; i < hidden.size(); ++i) sum[i % sum.size()] += static_cast<double>(hidden[i]);
  });
  session.feed(ids);
  double squares = 0.0;
  for (const double value : sum) squares += value * value;
  for (int round = 0; round < 2; ++round) {  // the second time its pages are there, and help nothing
    BatchRequest request;
    request.prompt = ids;
    request.embed = true;
    const auto beside = batcher.submit(greedy(prompt(40, 62), 30));
    const BatchProgress found = finish(*batcher.submit(request));
    EXPECT_EQ(found.error, "");
    EXPECT_TRUE(found.tokens.empty());
    ASSERT_EQ(found.embedding.size(), sum.size());
    for (size_t i = 0; i < sum.size(); ++i)
      EXPECT_NEAR(found.embedding[i], sum[i] / std::sqrt(squares), 1e-6);
    expect_alone(finish(*beside), greedy(prompt(40, 62), 30));
  }
}

TEST_F(BatcherTest, AdaptersOfEachTextTakeTurns) {
  const auto adapter = model_->load_adapter(files_->file("adapter"));
  std::vector<BatchRequest> requests;
  const Tokens same = prompt(70, 70);
  for (const float weight : {0.0F, 1.0F, -0.5F, 1.0F}) {
    requests.push_back(greedy(same, 25));
    if (weight != 0.0F) requests.back().adapters = {{adapter, weight}};
  }
  EXPECT_NE(alone(requests[0]).ids, alone(requests[1]).ids);
  Batcher batcher(*model_, {.max_sequences = 4});
  expect_all_alone(batcher, requests);
  EXPECT_EQ(batcher.statistics().cached_tokens, 64U);  // of the two with the same weight
}

TEST_F(BatcherTest, GivenUpTextsLeaveAtOnce) {
  const auto gate = std::make_shared<Gate>();
  Batcher batcher(*model_, {.max_sequences = 1, .queue = 4});
  BatchRequest held = greedy(prompt(5, 80), -1);
  held.constraint = gate;
  auto endless = batcher.submit(held);
  auto waiting = batcher.submit(greedy(prompt(5, 81), 5));
  waiting->cancel();
  auto other = batcher.submit(greedy(prompt(5, 82), 5));
  EXPECT_EQ(finish(*waiting).stop_reason, StopReason::interrupted);
  endless.reset();  // forgotten
  gate->open();
  expect_alone(finish(*other), greedy(prompt(5, 82), 5));
  ASSERT_TRUE(batcher.drain(10s));
  EXPECT_EQ(batcher.statistics().cancelled, 2U);
  EXPECT_EQ(batcher.statistics().pages_used, 0);
}

TEST_F(BatcherTest, AFullQueueAndAStopRefuse) {
  const auto gate = std::make_shared<Gate>();
  Batcher batcher(*model_, {.max_sequences = 1, .queue = 1});
  BatchRequest held = greedy(prompt(20, 1), -1);
  held.constraint = gate;
  std::vector<std::shared_ptr<BatchText>> texts = {batcher.submit(held),
                                                   batcher.submit(greedy(prompt(20, 2), 3))};
  try {
    batcher.submit(greedy(prompt(20, 3), 3));
    ADD_FAILURE() << "was taken";
  } catch (const Overloaded& error) {
    EXPECT_FALSE(error.stopping);
    EXPECT_GE(error.retry_after_seconds, 1);
  }
  gate->open();
  texts.clear();
  EXPECT_TRUE(batcher.drain(10s));
  const auto last = batcher.submit(greedy(prompt(3, 1), 3));
  batcher.stop_accepting();
  try {
    batcher.submit(greedy(prompt(3, 1), 3));
    ADD_FAILURE() << "was taken";
  } catch (const Overloaded& error) {
    EXPECT_TRUE(error.stopping);
  }
  expect_alone(finish(*last), greedy(prompt(3, 1), 3));
}

TEST_F(BatcherTest, ARequestThatWasBegunIsFinishedWhileStopping) {
  Batcher batcher(*model_, {.max_sequences = 1});
  batcher.stop_accepting();
  BatchRequest further = greedy(prompt(3, 1), 3);
  EXPECT_THROW(batcher.submit(further), Overloaded);
  further.goes_on = true;
  expect_alone(finish(*batcher.submit(further)), further);
}

TEST_F(BatcherTest, TimeLimitsEndTextsWithWhatIsThere) {
  Batcher batcher(*model_, {.max_sequences = 1});
  BatchRequest late = greedy(prompt(3, 1), 3);
  late.deadline = Clock::now() - 1s;
  const BatchProgress found = finish(*batcher.submit(late));
  EXPECT_EQ(found.stop_reason, StopReason::time_limit);
  EXPECT_TRUE(found.tokens.empty());
}

TEST_F(BatcherTest, ADestroyedBatcherEndsItsTexts) {
  std::shared_ptr<BatchText> text;
  {
    Batcher batcher(*model_, {.max_sequences = 1});
    text = batcher.submit(greedy(prompt(3, 1), -1));
  }
  EXPECT_TRUE(finish(*text).finished);
}

TEST_F(BatcherTest, ManyThreadsAtOnce) {
  Batcher batcher(*model_, {.max_sequences = 4, .queue = 64, .draft_tokens = 3});
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      for (uint64_t j = 0; j < 6; ++j) {
        auto text = batcher.submit(greedy(prompt(30 + i, 10 * i + j), 15));
        if (j % 3 == 2) {
          text->wait(1ms);
          text.reset();
        } else {
          EXPECT_EQ(finish(*text).tokens.size(), 15U);
        }
        batcher.statistics();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(batcher.drain(10s));
  EXPECT_EQ(batcher.statistics().finished + batcher.statistics().cancelled, 48U);
}

TEST_F(BatcherTest, WrongRequestsAndOptionsAreErrors) {
  Batcher batcher(*model_, {.max_sequences = 1});
  EXPECT_EQ(batcher.context(), kContext);
  expect_error([&] { batcher.submit(greedy({}, 1)); }, {"prompt", "at least one token"});
  expect_error([&] { batcher.submit(greedy(Tokens(kContext + 1, 1), 1)); }, {"prompt", "257", "256"});
  expect_error([&] { batcher.submit(greedy({100000}, 1)); }, {"prompt", "100000"});
  expect_error([&] { batcher.submit(greedy({1}, -2)); }, {"max_new_tokens", "-2"});
  BatchRequest request = greedy({1}, 1);
  request.sampling.temperature = std::nan("");
  expect_error([&] { batcher.submit(request); }, {"temperature"});
  expect_error([&] { Batcher(*model_, {.max_sequences = 0}); }, {"max_sequences", "0"});
  expect_error([&] { Batcher(*model_, {.kv_bytes = 1000}); }, {"memory for keys and values", "1000"});
  expect_alone(finish(*batcher.submit(greedy({1}, 4))), greedy({1}, 4));
}

// At whatever call the device is lost, each text is computed again on the CPU, and is the same.
TEST_F(BatcherTest, ALostDeviceChangesNothing) {
  const auto place = [&](std::optional<int64_t> lose_at) {
    auto device = std::make_unique<test::PretendDevice>(test::PretendDevice::Options{});
    auto* const counted = device.get();
    device->lose_at(lose_at);
    auto cpu = std::make_unique<test::PretendDevice>(
        test::PretendDevice::Options{.name = "cpu", .needs_weights_held = false});
    LanguageModelOptions options;
    options.warn = [](const std::string&) {};
    return std::pair(std::make_unique<LanguageModel>(files_->file("m.rotor"),
                                                     Backends{std::move(device), std::move(cpu)}, options),
                     counted);
  };
  std::vector requests = {greedy(prompt(40, 1), 6), greedy(prompt(3, 2), 9), greedy(prompt(40, 1), 6)};
  requests[2].adapters = {{model_->load_adapter(files_->file("adapter")), 0.5F}};
  const auto run = [&](const LanguageModel& model) {
    std::vector<BatchRequest> same = requests;
    same[2].adapters[0].adapter = model.load_adapter(files_->file("adapter"));
    Batcher batcher(model, {.session = {.batch = 24}, .max_sequences = 3, .draft_tokens = 2});
    std::vector<std::shared_ptr<BatchText>> texts;
    for (const BatchRequest& request : same) texts.push_back(batcher.submit(request));
    for (size_t i = 0; i < texts.size(); ++i) expect_alone(finish(*texts[i]), requests[i]);
    EXPECT_TRUE(batcher.drain(10s));
    EXPECT_EQ(batcher.statistics().finished, 3U);
  };
  int64_t calls = 0;
  {
    const auto [model, device] = place(std::nullopt);
    run(*model);
    calls = device->counts().calls;
  }
  ASSERT_GT(calls, 200);
  for (int64_t call = 0; call <= calls; call += 7) {
    SCOPED_TRACE(call);
    const auto [model, device] = place(call);
    run(*model);
  }
}

}  // namespace
}  // namespace rotor::runtime
