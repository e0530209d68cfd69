// Training on several ranks against training on one: the same gradients, losses and checkpoints. Ranks are
// real processes: rotor-train, or this program started once more for a single test. What happens when ranks
// die or never come is in tests/scripts/distributed_test.sh.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <filesystem>
#include <map>
#include <thread>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "tests/support/command.h"
#include "tests/support/models.h"
#include "tests/support/temp_dir.h"
#include "tests/train/text_corpus.h"
#include "train/distributed/data_parallel.h"
#include "train/distributed/launch.h"
#include "train/models/transformer.h"

namespace rotor::train {
namespace {

using test::CommandResult;
using test::TempDir;

using Variables = std::map<std::string, std::string>;

Launch launch_of(const Variables& variables) {
  return read_launch([&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

TEST(LaunchTest, ReadsWhatLaunchersLeave) {
  EXPECT_EQ(launch_of({}).size, 1);
  const Variables torchrun = {{"RANK", "3"},
                              {"WORLD_SIZE", "4"},
                              {"LOCAL_RANK", "1"},
                              {"LOCAL_WORLD_SIZE", "2"},
                              {"MASTER_ADDR", "node0"},
                              {"MASTER_PORT", "29400"}};
  Launch launch = launch_of(torchrun);
  EXPECT_EQ(launch.rank, 3);
  EXPECT_EQ(launch.size, 4);
  EXPECT_EQ(launch.local_rank, 1);
  EXPECT_EQ(launch.local_size, 2);
  EXPECT_EQ(launch.address, "node0");
  EXPECT_EQ(launch.port, 29400);
  Variables agent = torchrun;
  agent["TORCHELASTIC_USE_AGENT_STORE"] = "True";
  EXPECT_EQ(launch_of(agent).port, 29401);
  agent["ROTOR_STORE_PORT"] = "5000";
  EXPECT_EQ(launch_of(agent).port, 5000);

  launch = launch_of({{"OMPI_COMM_WORLD_RANK", "1"},
                      {"OMPI_COMM_WORLD_SIZE", "2"},
                      {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                      {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}});
  EXPECT_EQ(launch.rank, 1);
  EXPECT_EQ(launch.address, "127.0.0.1");
  EXPECT_EQ(launch.port, 29500);

  launch = launch_of({{"SLURM_PROCID", "5"},
                      {"SLURM_NTASKS", "8"},
                      {"SLURM_LOCALID", "1"},
                      {"SLURM_NNODES", "4"},
                      {"MASTER_ADDR", "node0"},
                      {"MASTER_PORT", "29400"}});
  EXPECT_EQ(launch.rank, 5);
  EXPECT_EQ(launch.size, 8);
  EXPECT_EQ(launch.local_rank, 1);
  EXPECT_EQ(launch_of({{"SLURM_NTASKS", "8"}}).size, 1);  // a shell of an allocation
}

TEST(LaunchTest, HalfSetAndContradictoryVariablesAreErrors) {
  const auto expect = [](const Variables& variables, const std::vector<std::string>& parts) {
    test::expect_error([&] { launch_of(variables); }, parts);
  };
  expect({{"RANK", "0"}}, {"RANK is set", "WORLD_SIZE is not"});
  expect({{"WORLD_SIZE", "2"}}, {"WORLD_SIZE is set", "RANK is not"});
  expect({{"RANK", "2"}, {"WORLD_SIZE", "2"}}, {"RANK", "less than WORLD_SIZE (2)", "found 2"});
  expect({{"RANK", "x"}, {"WORLD_SIZE", "2"}}, {"RANK", "found \"x\""});
  expect({{"RANK", "0"}, {"WORLD_SIZE", "2"}}, {"2 ranks", "MASTER_ADDR"});
  expect({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}}, {"MASTER_PORT"});
  expect({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "70000"}}, {"70000"});
  expect({{"SLURM_PROCID", "0"}}, {"SLURM_PROCID is set", "SLURM_NTASKS"});
  expect({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "2"}},
         {"RANK=0 contradicts OMPI_COMM_WORLD_RANK=1"});
}

TEST(RankShareTest, PartsCoverAllOnce) {
  for (const int64_t count : {0, 1, 2, 3, 7, 64}) {
    for (const int64_t size : {1, 2, 3, 8}) {
      int64_t next = 0;
      for (int64_t rank = 0; rank < size; ++rank) {
        const auto [first, end] = RankShare{rank, size}.of(count);
        EXPECT_EQ(first, next);
        EXPECT_LE(end - first, (count + size - 1) / size);
        next = end;
      }
      EXPECT_EQ(next, count);
    }
  }
}

/// A port that nobody listens on.
std::string free_port() {
  const int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  bind(handle, reinterpret_cast<sockaddr*>(&address), length);
  getsockname(handle, reinterpret_cast<sockaddr*>(&address), &length);
  close(handle);
  return std::to_string(ntohs(address.sin_port));
}

/// Runs the command once a rank, at the same time; `more` are arguments of the last rank alone.
std::vector<CommandResult> run_ranks(int64_t size, const std::vector<std::string>& command,
                                     const std::vector<std::string>& more = {},
                                     const Variables& environment = {}) {
  const std::string port = free_port();
  std::vector<CommandResult> results(static_cast<size_t>(size));
  std::vector<std::thread> threads;
  for (int64_t rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      test::CommandOptions options;
      options.environment = environment;
      options.environment.insert({{"RANK", std::to_string(rank)},
                                  {"WORLD_SIZE", std::to_string(size)},
                                  {"MASTER_ADDR", "127.0.0.1"},
                                  {"MASTER_PORT", port}});
      std::vector<std::string> own = command;
      if (rank == size - 1) own.insert(own.end(), more.begin(), more.end());
      results[static_cast<size_t>(rank)] = test::run_command(own, options);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return results;
}

void expect_success(const std::vector<CommandResult>& results) {
  for (const CommandResult& result : results) EXPECT_EQ(result.status, 0) << result.out << result.err;
}

/// A model with a parameter that no loss depends on.
struct PartlyUsed : torch::nn::Module {
  PartlyUsed() {
    torch::manual_seed(1);
    TransformerOptions options;
    options.activation_checkpointing = true;
    model =
        register_module("model", Transformer(test::small_transformer("llama", Quantization::none), options));
    unused = register_parameter("unused", torch::ones({7}));
  }
  /// The sum over `rows` of the losses of [rows, 9] random tokens, in two parts.
  torch::Tensor loss(int64_t part, int64_t rows, RankShare share) {
    torch::manual_seed(2 + part);
    const torch::Tensor ids = torch::randint(101, {rows, 9});
    const auto [first, end] = share.of(rows);
    if (first == end) return {};
    const torch::Tensor own = ids.narrow(0, first, end - first);
    const torch::Tensor logits = model->forward(own.narrow(1, 0, 8), {});
    return torch::nn::functional::cross_entropy(
        logits.reshape({-1, 101}), own.narrow(1, 1, 8).reshape({-1}),
        torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kSum));
  }
  Transformer model = nullptr;
  torch::Tensor unused;
};

constexpr int64_t kParts = 2;

/// What one rank of two does for the test below, which starts this program for it.
TEST(DISABLED_RankBody, Gradients) {
  at::set_num_threads(1);
  const Launch launch = read_launch();
  RankGroup group(launch, 20, torch::kCPU);
  const int64_t rows = std::stoll(std::getenv("ROTOR_TEST_ROWS"));
  PartlyUsed module;
  TrainConfig config;
  config.distributed.bucket_mb = 0.01;  // several buckets
  DataParallel parallel(module, group, config);
  if (group.rank() == 1) {
    const torch::NoGradGuard no_grad;
    module.unused.zero_();
  }
  parallel.broadcast_parameters();
  for (int step = 0; step < 2; ++step) {  // the second finds hooks and buffers as the first left them
    parallel.begin_step();
    for (int64_t part = 0; part < kParts; ++part) {
      if (part + 1 == kParts) parallel.sum_in_next_backward();
      const torch::Tensor loss = module.loss(part, rows, group.share());
      if (loss.defined()) loss.backward();
    }
    parallel.finish_backward();
  }
  EXPECT_FALSE(module.unused.grad().defined());
  EXPECT_EQ(module.unused.sum().item<float>(), 7.0F);
  std::vector<torch::Tensor> gradients;
  for (const torch::Tensor& parameter : module.model->parameters())
    gradients.push_back(parameter.grad().flatten());
  const torch::Tensor flat = torch::cat(gradients).contiguous();
  test::write_bytes(cat(std::getenv("ROTOR_TEST_OUT"), group.rank()),
                    {static_cast<const char*>(flat.data_ptr()), flat.nbytes()});
  group.leave();
}

TEST(DistributedTest, TwoRanksHaveTheGradientsOfOne) {
  at::set_num_threads(1);
  for (const int64_t rows : {5, 1}) {  // one row: rank 0 has none
    PartlyUsed module;
    for (int64_t part = 0; part < kParts; ++part) module.loss(part, rows, {}).backward();
    std::vector<torch::Tensor> gradients;
    for (const torch::Tensor& parameter : module.model->parameters())
      gradients.push_back(parameter.grad().flatten());
    const torch::Tensor expected = torch::cat(gradients);
    const TempDir dir;
    // This program again, which is not to run its share of tests alone.
    expect_success(
        run_ranks(2,
                  {"/usr/bin/env", "-u", "GTEST_TOTAL_SHARDS", "-u", "GTEST_SHARD_INDEX",
                   std::filesystem::read_symlink("/proc/self/exe"), "--gtest_also_run_disabled_tests",
                   "--gtest_filter=DISABLED_RankBody.Gradients"},
                  {}, {{"ROTOR_TEST_OUT", dir.file("out")}, {"ROTOR_TEST_ROWS", cat(rows)}}));
    for (const char* rank : {"0", "1"}) {
      std::string bytes = test::read_bytes(dir.file(std::string("out") + rank));
      ASSERT_EQ(bytes.size(), expected.nbytes());
      const torch::Tensor found = torch::from_blob(bytes.data(), expected.sizes(), torch::kFloat32);
      // Sums of a few floats in another order: 2^-24 relative to the largest gradient, a few times over.
      EXPECT_LT((found - expected).abs().max().item<float>(), 1e-6F * expected.abs().max().item<float>());
    }
  }
}

class DistributedRun : public ::testing::Test {
 protected:
  void SetUp() override {
    test::write_bytes(dir_.file("text"), test::many_words(4000));
    test::write_bytes(
        config_,
        "output_dir: nowhere\n"
        "threads: 1\n"
        "model: {type: bitnet, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 2, "
        "num_attention_heads: 4, rope_theta: 10000, initializer_range: 0.05}\n"
        "tokenizer: {type: sentencepiece, model_type: char, byte_fallback: false}\n"
        "data: {type: text, path: " +
            dir_.file("text") +
            ", block_size: 16}\n"
            "train: {steps: 50, batch_size: 8, accumulation: 2, learning_rate: 4.0e-3, weight_decay: 0.1, "
            "warmup_steps: 5, keep_checkpoints: 9}\n"
            "eval: {every: 25, windows: 9}\n"
            "log: {every: 5, tensorboard: false}\n"
            "sample: {every: -1}\n"
            "distributed: {bucket_mb: 0.02, timeout: 20}\n");
  }
  std::vector<std::string> fit(const std::string& run, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> command = {test::program("rotor-train"), "fit", config_, "--set",
                                        "output_dir=" + dir_.file(run)};
    command.insert(command.end(), more.begin(), more.end());
    return command;
  }
  /// By name, step and figure: everything that a run logged of its losses.
  std::map<std::string, double> losses(const std::string& run) const {
    std::ifstream in(dir_.file(run + "/metrics.jsonl"));
    std::map<std::string, double> result;
    for (std::string line; std::getline(in, line);) {
      const Json json = parse_json(line, "metrics.jsonl");
      for (const char* key : {"loss", "eval_loss", "eval_accuracy"}) {
        if (json.contains(key)) result[cat(key, " of step ", json["step"].get<int64_t>())] = json[key];
      }
    }
    return result;
  }
  void expect_same_losses(const std::string& a, const std::string& b, double tolerance) const {
    const auto of_a = losses(a);
    const auto of_b = losses(b);
    ASSERT_EQ(of_a.size(), of_b.size());
    EXPECT_GE(of_a.size(), 14U);
    for (const auto& [key, value] : of_a) EXPECT_NEAR(value, of_b.at(key), tolerance) << key;
  }

  TempDir dir_;
  std::string config_ = dir_.file("config.yaml");
};

TEST_F(DistributedRun, TwoRanksTrainAsOne) {
  const std::vector<std::string> twin = {"--set", "model.quantization=none"};
  expect_success({test::run_command(fit("one", twin))});
  expect_success(run_ranks(2, fit("two", twin)));
  expect_same_losses("one", "two", 1e-4);
  // Rounding may turn a trit, and its loss then goes another way; a little.
  expect_success({test::run_command(fit("ternary-one"))});
  expect_success(run_ranks(2, fit("ternary-two")));
  expect_same_losses("ternary-one", "ternary-two", 1e-2);
  EXPECT_FALSE(std::filesystem::exists("nowhere"));
}

TEST_F(DistributedRun, MomentsMayBeLeanOnSeveralRanks) {
  const std::vector<std::string> lean = {"--set", "model.quantization=none",
                                         "--set", "train.state_dtype=bfloat16",
                                         "--set", "train.state_on_disk=true"};
  expect_success({test::run_command(fit("one", lean))});
  expect_success(run_ranks(2, fit("two", lean)));
  expect_same_losses("one", "two", 1e-2);  // moments are rounded at random, on each rank in its own way
}

TEST_F(DistributedRun, ACheckpointResumesOnAnotherNumberOfRanks) {
  const std::vector<std::string> twin = {"--set", "model.quantization=none"};
  expect_success({test::run_command(fit("one", twin))});
  expect_success(run_ranks(2, fit("two", twin)));
  for (const int64_t size : {1, 3}) {
    const std::string run = cat("on-", size);
    std::filesystem::copy(
        dir_.file("two"), dir_.file(run),
        std::filesystem::copy_options::recursive | std::filesystem::copy_options::copy_symlinks);
    std::filesystem::remove(dir_.file(run + "/checkpoint"));
    std::filesystem::create_symlink("checkpoints/step-25", dir_.file(run + "/checkpoint"));
    std::vector<std::string> command = fit(run, twin);
    command.emplace_back("--resume");
    const auto results = size == 1 ? std::vector{test::run_command(command)} : run_ranks(size, command);
    expect_success(results);
    EXPECT_NE(results[0].err.find("at step 25 of 50"), std::string::npos) << results[0].err;
    expect_same_losses("one", run, 1e-4);
  }
}

TEST_F(DistributedRun, AClassifierTrainsOnTwoRanks) {
  test::write_idx_dataset(dir_.file("data"), 299, 101);  // the last batch of an epoch has 11 images
  test::write_bytes(config_,
                    "output_dir: nowhere\nthreads: 1\n"
                    "model: {type: mlp, layer_sizes: [64, 32, 10], quantization: none}\n"
                    "data: {type: idx, path: " +
                        dir_.file("data") +
                        "}\n"
                        "train: {epochs: 4, batch_size: 32, optimizer: sgd, learning_rate: 5.0e-2}\n"
                        "log: {every: 4}\n");
  expect_success({test::run_command(fit("one"))});
  expect_success(run_ranks(2, fit("two")));
  expect_same_losses("one", "two", 1e-4);
}

TEST_F(DistributedRun, DifferencesAreErrorsOnAllRanks) {
  const auto expect_refused = [&](const std::vector<std::string>& more,
                                  const std::vector<std::string>& parts) {
    for (const CommandResult& result : run_ranks(2, fit("run"), more)) {
      EXPECT_EQ(result.status, 1) << result.err;
      for (const std::string& part : parts)
        EXPECT_NE(result.err.find(part), std::string::npos) << part << "\n" << result.err;
    }
  };
  expect_refused({"--set", "train.learning_rate=0.5"},
                 {"rank 1", "train.learning_rate: rank 0 has 0.004, this rank has 0.5"});
  expect_refused({"--resume"}, {"rank 1", "--resume"});
  test::write_bytes(dir_.file("other"), test::many_words(4000, 2));
  expect_refused(
      {"--set", "data.path=" + dir_.file("other"), "--set", "data.cache_dir=" + dir_.file("tokens")},
      {"rank 1", "other training data than rank 0"});
  expect_refused({"--set", "data.path=" + dir_.file("lost")}, {"rank 1", dir_.file("lost")});
}

TEST_F(DistributedRun, AdaptersOfOtherBasesAreRefused) {
  expect_success({test::run_command(fit("base", {"--set", "train.steps=1"}))});
  expect_success({test::run_command(fit("other", {"--set", "train.steps=2"}))});
  const auto from = [&](const std::string& run) {
    return "model: {from: " + dir_.file(run + "/checkpoint") + "}\n";
  };
  const std::string rest = "threads: 1\nlora: {rank: 2}\ndata: {type: text, path: " + dir_.file("text") +
                           ", block_size: 16}\ntrain: {steps: 4, batch_size: 8}\nsample: {every: -1}\n"
                           "distributed: {timeout: 20}\n";
  test::write_bytes(config_, from("base") + rest);
  expect_success({test::run_command(fit("one"))});
  expect_success(run_ranks(2, fit("two")));
  for (const CommandResult& result :
       run_ranks(2, fit("three"), {"--set", "model.from=" + dir_.file("other/checkpoint")})) {
    EXPECT_EQ(result.status, 1) << result.err;
    EXPECT_NE(result.err.find("it has other weights in model.from than rank 0"), std::string::npos)
        << result.err;
  }
}

TEST_F(DistributedRun, DivergenceEndsAllRanks) {
  test::write_idx_dataset(dir_.file("data"), 300, 100);
  test::write_bytes(
      config_,
      "output_dir: nowhere\nthreads: 1\n"
      "model: {type: mlp, layer_sizes: [64, 32, 10], quantization: none, activation: relu2}\n"
      "data: {type: idx, path: " +
          dir_.file("data") +
          "}\n"
          "train: {epochs: 4, batch_size: 32, optimizer: sgd, learning_rate: 1000, clip_norm: 0}\n");
  const auto results = run_ranks(2, fit("run"));
  for (const CommandResult& result : results) EXPECT_EQ(result.status, 1) << result.err;
  EXPECT_NE((results[0].err + results[1].err).find("training diverged at step"), std::string::npos);
}

}  // namespace
}  // namespace rotor::train
